//! Embeds the pages anew when they were built anew: cargo doesn't see a folder that only a macro reads.

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
    println!("cargo::rerun-if-changed=web/dist/assets");
}

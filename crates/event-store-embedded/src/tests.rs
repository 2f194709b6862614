use std::sync::Arc;

use witan_event_store::{EventStore, contract::contract};

use crate::{IndexPlace, Journal, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keeps_the_contract() {
    for (index, segment_bytes_max) in
        [(IndexPlace::Memory, 4096), (IndexPlace::Disk, 4096), (IndexPlace::Disk, 64 << 20)]
    {
        let folders = tempfile::tempdir().unwrap();
        let number = std::sync::atomic::AtomicU32::new(0);
        contract(async || {
            let folder = folders.path().join(number.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
            let options = Options { segment_bytes_max, index, ..Options::default() };
            Arc::new(Journal::open(folder, options).unwrap()) as Arc<dyn EventStore>
        })
        .await;
    }
}

use super::*;

type Check = fn(&'static str, &str) -> Result<(), Invalid>;

#[track_caller]
fn accepts(check: Check, texts: &[&str]) {
    for text in texts {
        assert_eq!(check("field", text), Ok(()), "{text:?}");
    }
}

#[track_caller]
fn refuses(check: Check, texts: &[&str]) {
    for text in texts {
        let invalid = check("field", text).expect_err(text);
        assert_eq!(invalid.field, "field");
        assert!(!invalid.problem.is_empty() && !invalid.expected.is_empty());
    }
}

#[test]
fn slugs() {
    for good in ["a", "acme", "st-gallen-2", "9"] {
        assert_eq!(Slug::try_new(good).unwrap().as_str(), good);
    }
    for bad in ["", "-a", "a-", "Acme", "a_b", "zürich", "a b", &"a".repeat(64)] {
        assert_eq!(Slug::try_new(bad).unwrap_err().field, "slug", "{bad:?}");
    }
    assert!(serde_json::from_str::<Slug>("\"A B\"").is_err());
}

#[test]
fn an_error_names_field_problem_and_remedy() {
    let text = Slug::try_new("Acme").unwrap_err().to_string();
    assert!(text.starts_with("slug holds other characters; expected 1 to 63 lower-case"), "{text}");
    assert!(!text.contains("Acme"));
}

#[test]
fn names_and_lines() {
    accepts(name, &["Ωmega", "Klinik St. Gallen", &"x".repeat(200)]);
    refuses(name, &["", " a", "a ", "a\nb", "a\u{0}b", "abc\u{202e}txt", &"x".repeat(201)]);
    accepts(description, &["", "one\ntwo\tthree"]);
    refuses(description, &["\u{1b}[31m", &"x".repeat(2_001)]);
}

#[test]
fn logins_and_addresses() {
    accepts(login, &["anna", "anna@example.org"]);
    refuses(login, &["", "anna b", "anna\u{a0}b"]);
    accepts(email, &["a@b.ch", "first.last+tag@sub.example.org", "user@localhost"]);
    refuses(email, &["", "a", "@b.ch", "a@", "a@b..ch", "a b@c.ch", "a@-b.ch", "a@b/c"]);
    assert_eq!(login_key("ANNA@Example.org"), "anna@example.org");
}

#[test]
fn urls() {
    accepts(url, &["https://example.org", "https://example.org:8443/a?b=c#d", "https://[::1]/logo.png"]);
    refuses(
        url,
        &["", "http://a", "https://", "https:///x", "https://user@host", "https://a b", "javascript:x", "https://ä"],
    );
}

#[test]
fn places_languages_and_money() {
    accepts(time_zone, &["Europe/Zurich", "UTC", "America/Argentina/Buenos_Aires"]);
    refuses(time_zone, &["", "Europe/Zurihc", "../etc/passwd"]);
    assert_eq!(time_zone("timeZone", "europe/zurich").unwrap_err().expected, "Europe/Zurich");
    accepts(locale, &["de", "de-CH", "zh-Hant-TW", "gsw"]);
    refuses(locale, &["", "d", "DE", "de_CH", "de-", "english"]);
    accepts(currency, &["CHF", "EUR"]);
    refuses(currency, &["", "chf", "XXX", "EURO", "AED AFN"]);
    accepts(tax_id, &["CHE-123.456.789"]);
    refuses(tax_id, &["", "#1", &"1".repeat(33)]);
}

#[test]
fn a_hash_is_hexadecimal_and_not_shown() {
    let hash = SecretHash([0xab; 32]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert!("AB".repeat(32).parse::<SecretHash>().is_err());
    assert!("ab".parse::<SecretHash>().is_err());
    assert!(!format!("{hash:?}").contains("ab"));
}

use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber, date_time_ymd};

use super::*;

fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    change(&mut params);
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .to_vec()
}

fn with_names() -> Vec<u8> {
    certificate(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Shop");
        params
            .distinguished_name
            .push(DnType::CommonName, "billing ä");
        params.serial_number = Some(SerialNumber::from(vec![1, 2, 0xfe]));
        params.not_before = date_time_ymd(2026, 2, 28);
        params.not_after = date_time_ymd(2051, 3, 1);
        params.subject_alt_names = vec![
            SanType::DnsName("Billing.internal".try_into().unwrap()),
            SanType::URI("spiffe://shop.example/billing".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::DnsName("b.internal".try_into().unwrap()),
        ];
    })
}

#[test]
fn names_and_times_are_read() {
    let read = read(&with_names()).unwrap();
    assert_eq!(read.names.common_names, ["billing ä"]);
    assert_eq!(read.names.dns, ["billing.internal", "b.internal"]);
    assert_eq!(read.names.uris, ["spiffe://shop.example/billing"]);
    assert_eq!(read.serial, [1, 2, 0xfe]);
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let (from, to) = read.valid.unwrap();
    // date -u -d 2026-02-28 +%s; date -u -d 2051-03-01 +%s
    assert_eq!((seconds(from), seconds(to)), (1_772_236_800, 2_561_241_600));
}

#[test]
fn a_certificate_without_names_has_none() {
    let der = certificate(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    assert_eq!(read(&der).unwrap().names, Names::default());
}

#[test]
fn names_that_look_like_others_are_refused() {
    for name in ["a\0b", "a\nb", "a\u{7f}"] {
        let name = DnValue::Utf8String(name.to_owned());
        let der = certificate(|params| params.distinguished_name.push(DnType::CommonName, name));
        assert!(read(&der).is_none());
    }
    for wrong in ["a b", "a\0.example", "spiffe://a", "CN=a", "", "ä"] {
        assert_eq!(dns_name(wrong.as_bytes()), None, "{wrong}");
    }
    for wrong in ["a b:c", "a", ":a", "1a:b", "CN=a:b", "a:b\n", "a:ä", ""] {
        assert_eq!(uri(wrong.as_bytes()), None, "{wrong}");
    }
    assert_eq!(uri(b"urn:a=b").as_deref(), Some("urn:a=b"));
}

#[test]
fn times_have_two_forms() {
    let read = |tag: u8, text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        let der = [&[tag, length], text.as_bytes()].concat();
        let time = time(&mut Reader::new(&der))?;
        Some(
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        )
    };
    for (tag, text, expected) in [
        (UTC_TIME, "700101000000Z", Some(0)),
        (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
        (UTC_TIME, "500101000000Z", Some(0)),
        (UTC_TIME, "000229000001Z", Some(951_782_401)),
        (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
        (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
        (GENERALIZED_TIME, "00000101000000Z", None),
        (UTC_TIME, "700101000000", None),
        (UTC_TIME, "7001010000Z", None),
        (UTC_TIME, "701301000000Z", None),
        (UTC_TIME, "700100000000Z", None),
        (UTC_TIME, "700101240000Z", None),
        (UTC_TIME, "7001010000+1Z", None),
        (GENERALIZED_TIME, "700101000000Z", None),
        (UTC_TIME, "20500101000000Z", None),
        (INTEGER, "700101000000Z", None),
    ] {
        assert_eq!(read(tag, text), expected, "{text}");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_no_certificate() {
    let der = with_names();
    for end in 0..der.len() {
        assert!(read(&der[..end]).is_none(), "{end}");
    }
    assert!(read(&[&der[..], &[0]].concat()).is_none());
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(at in 0_usize..400, byte: u8, noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut der = with_names();
        let at = at % der.len();
        der[at] = byte;
        let _ = read(&der);
        let _ = read(&noise);
    }
}

//! W3C Trace Context, level 1: the `traceparent` and `tracestate` fields, read strictly and written in version 00.

use smallvec::SmallVec;

use super::hex;

/// The place of a request in a trace: which trace, whose child, and whether the caller records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    trace_id: [u64; 2],
    parent_id: u64,
    sampled: bool,
}

/// `00-`, 32 digits, `-`, 16 digits, `-`, two digits: all of version 00, and the beginning of any later version.
const LEN: usize = 55;

/// The most members that a `tracestate` may have (section 3.3.1).
const MAX_MEMBERS: usize = 32;

/// The longest `tracestate` that is passed on, over all lines; the specification asks for 512 bytes at least.
const MAX_STATE: usize = 4096;

impl TraceParent {
    /// The only `traceparent` of a request. Of several, none can be believed: the trace starts anew.
    pub(super) fn of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut lines = lines.into_iter();
        let line = lines.next()?;
        lines.next().is_none().then(|| Self::parse(line)).flatten()
    }

    /// Reads a field value. A later version may append members behind a further dash; what it begins with is read as
    /// version 00, and of its flags only the one that is known (section 3.2.4).
    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LEN)?;
        let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let rest_fits = match hex::parse(&head[..2])? {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let parent = Self {
            trace_id: [hex::parse(&head[3..19])?, hex::parse(&head[19..35])?],
            parent_id: hex::parse(&head[36..52])?,
            sampled: hex::parse(&head[53..])? & 1 == 1,
        };
        let valid = parent.trace_id != [0, 0] && parent.parent_id != 0;
        (dashes && rest_fits && valid).then_some(parent)
    }

    /// The start of a trace. It counts as sampled: what comes behind the gateway decides by its own rules only then,
    /// while a "not sampled" from the front would keep it from recording at all.
    pub(super) fn begin(mut random: impl FnMut() -> u64) -> Self {
        // All zero is no id (sections 3.2.2.3 and 3.2.2.4).
        Self {
            trace_id: [random(), random().max(1)],
            parent_id: random().max(1),
            sampled: true,
        }
    }

    /// The same trace one step further: an own parent id, the caller's flag.
    pub(super) fn child(self, random: impl FnOnce() -> u64) -> Self {
        Self {
            parent_id: random().max(1),
            ..self
        }
    }

    /// The field value.
    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&self.trace_id());
        text[36..52].copy_from_slice(&hex::digits(self.parent_id));
        text[54] += u8::from(self.sampled);
        text
    }

    /// The trace's id as it is written.
    pub(super) fn trace_id(self) -> [u8; 32] {
        hex::digits_of_two(self.trace_id)
    }
}

/// Whether the `tracestate` of a request, over all its lines, keeps to the grammar and the limits (section 3.3); what
/// does not is dropped whole.
pub(super) fn state_is_valid<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut keys = SmallVec::<[&[u8]; 4]>::new();
    let mut length = 0;
    for line in lines {
        length += line.len();
        if length > MAX_STATE {
            return false;
        }
        for member in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // A list may have empty members (section 3.3.1).
            if member.is_empty() {
                continue;
            }
            match member_key(member) {
                Some(key) if keys.len() < MAX_MEMBERS && !keys.contains(&key) => keys.push(key),
                _ => return false,
            }
        }
    }
    true
}

/// The key of a member, if all of the member is valid.
fn member_key(member: &[u8]) -> Option<&[u8]> {
    let equals = memchr::memchr(b'=', member)?;
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    // The end of a member is trimmed, so that its last byte is no space.
    let value_is_valid = matches!(value.len(), 1..=256)
        && value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=');
    (value_is_valid && key_is_valid(key)).then_some(key)
}

fn key_is_valid(key: &[u8]) -> bool {
    let part = |part: &[u8], longest: usize, digit_first: bool| {
        part.len() <= longest
            && part.first().is_some_and(|byte| {
                byte.is_ascii_lowercase() || digit_first && byte.is_ascii_digit()
            })
            && part.iter().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(byte)
            })
    };
    match memchr::memchr(b'@', key) {
        None => part(key, 256, false),
        Some(at) => part(&key[..at], 241, true) && part(&key[at + 1..], 14, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    fn parse(text: &str) -> Option<String> {
        TraceParent::parse(text.as_bytes())
            .map(|parent| String::from_utf8(parent.to_bytes().to_vec()).unwrap())
    }

    #[test]
    fn parents_that_are_continued() {
        let cases = [
            // version, flags, what a later version appends, whether it is sampled
            ("00", "00", "", false),
            ("00", "01", "", true),
            ("00", "ff", "", true),
            ("00", "02", "", false),
            ("01", "01", "", true),
            ("fe", "09", "-what-the-future-brings", true),
            ("cc", "00", "-", false),
        ];
        for (version, flags, rest, sampled) in cases {
            let text = format!("{version}-{TRACE}-{PARENT}-{flags}{rest}");
            let flag = u8::from(sampled);
            assert_eq!(
                parse(&text),
                Some(format!("00-{TRACE}-{PARENT}-0{flag}")),
                "{text}"
            );
        }
    }

    #[test]
    fn parents_that_are_not() {
        let zeros = "0".repeat(32);
        let upper = TRACE.to_uppercase();
        for text in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("0x-{TRACE}-{PARENT}-01"),
            format!("0F-{TRACE}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
            format!("00-{TRACE}-{PARENT}-0A"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-011"),
            format!("01-{TRACE}-{PARENT}-01.more"),
            format!("01-{TRACE}-{PARENT}-0"),
            format!("00_{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}_{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}_01"),
            format!("00-{}-{PARENT}-01", TRACE.replace('c', "g")),
            format!(" 00-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-01 "),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn of_two_parents_none_is_believed() {
        let line = format!("00-{TRACE}-{PARENT}-01");
        let line = line.as_bytes();
        assert!(TraceParent::of([line]).is_some());
        assert_eq!(TraceParent::of([line, line]), None);
        assert_eq!(TraceParent::of([line, b"rubbish"]), None);
        assert_eq!(TraceParent::of([]), None);
    }

    #[test]
    fn ids_are_never_all_zero() {
        let begun = TraceParent::begin(|| 0);
        assert_eq!(TraceParent::parse(&begun.to_bytes()), Some(begun));
        assert_eq!(
            begun.to_bytes(),
            *b"00-00000000000000000000000000000001-0000000000000001-01"
        );
        assert_eq!(begun.child(|| 0), begun);
    }

    #[test]
    fn states() {
        let key = |length: usize| "k".repeat(length);
        let members =
            |from: usize, to: usize| -> String { (from..to).map(|n| format!("a{n}=1,")).collect() };
        for state in [
            "",
            "congo=t61rcWkgMzE",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            " a=1 ,\t, b_-*/9=x y ,",
            "0tenant@system=1",
            "a=!#$~",
            &format!("{}=1", key(256)),
            &format!("{}@{}=1", key(241), key(14)),
            &format!("a={}", key(256)),
            &members(0, 32),
        ] {
            assert!(state_is_valid([state.as_bytes()]), "{state:?}");
        }
        for state in [
            "a",
            "=1",
            "a=",
            "a= ",
            "A=1",
            "0a=1",
            "a b=1",
            "a=1=2",
            "a=\u{e9}",
            "a@=1",
            "@a=1",
            "a@b@c=1",
            "a@9=1",
            "a=1;b=2",
            "a=\u{1}",
            "a=1,b=2,a=3",
            &format!("{}=1", key(257)),
            &format!("{}@a=1", key(242)),
            &format!("a@{}=1", key(15)),
            &format!("a={}", key(257)),
            &members(0, 33),
        ] {
            assert!(!state_is_valid([state.as_bytes()]), "{state:?}");
        }
        let long: Vec<String> = (10..26).map(|n| format!("a{n}={}", key(252))).collect();
        let lines = || long.iter().map(String::as_bytes);
        assert!(state_is_valid(lines()), "4096 bytes");
        assert!(!state_is_valid(lines().chain([&b","[..]])), "4097 bytes");
        assert!(state_is_valid([
            members(0, 20).as_bytes(),
            members(20, 32).as_bytes()
        ]));
        assert!(!state_is_valid([
            members(0, 20).as_bytes(),
            members(20, 33).as_bytes()
        ]));
        assert!(!state_is_valid([&b"a=1"[..], &b"a=1"[..]]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(high: u64, low: u64, own: u64, next: u64) {
            let mut random = [high, low, own].into_iter();
            let begun = TraceParent::begin(|| random.next().unwrap());
            prop_assert_eq!(TraceParent::parse(&begun.to_bytes()), Some(begun));
            let child = begun.child(|| next);
            prop_assert_eq!(child.trace_id(), begun.trace_id());
            prop_assert_eq!(child.sampled, begun.sampled);
            prop_assert_eq!(child.parent_id, next.max(1));
        }

        #[test]
        fn no_text_breaks_the_parsers(bytes: Vec<u8>, text in "[0-9a-fA-F-]{50,60}") {
            let _ = state_is_valid([&bytes[..]]);
            for text in [&bytes[..], text.as_bytes()] {
                if let Some(parent) = TraceParent::parse(text) {
                    prop_assert_eq!(&parent.to_bytes()[2..54], &text[2..54]);
                }
            }
        }

        #[test]
        fn one_wrong_byte_is_seen(at in 0_usize..53, byte in any::<u8>()) {
            let mut text = format!("00-{TRACE}-{PARENT}-01").into_bytes();
            let changed = text[at] != byte;
            text[at] = byte;
            let hex = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let fits = if at < 2 { !changed } else if [2, 35, 52].contains(&at) { byte == b'-' } else { hex };
            prop_assert!(at < 2 || TraceParent::parse(&text).is_some() == fits, "{at} {byte}");
        }
    }
}

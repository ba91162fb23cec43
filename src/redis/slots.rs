//! Which node of a cluster has which keys.

use ::redis::Value;

/// The slots of a cluster, 2^14.
pub(super) const SLOTS: u16 = 16_384;

/// Some slots, and the node that has them, where it told its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    /// None: as the node that was asked.
    pub(super) host: Option<Box<str>>,
    pub(super) port: u16,
}

/// The slot of a key: of what is in its first braces, if there is something in them.
pub(super) fn slot(key: &[u8]) -> u16 {
    crc16(hashed(key)) % SLOTS
}

fn hashed(key: &[u8]) -> &[u8] {
    let position = |bytes: &[u8], of: u8| bytes.iter().position(|byte| *byte == of);
    let Some(open) = position(key, b'{') else {
        return key;
    };
    let inside = &key[open + 1..];
    match position(inside, b'}') {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

/// CRC-16/XMODEM, as the specification of the cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let crc = crc ^ u16::from(*byte) << 8;
        (0..8).fold(crc, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    })
}

/// The answer to `CLUSTER SLOTS`. What is not as it should be is left out.
pub(super) fn ranges(answer: Value) -> Vec<Range> {
    let Value::Array(rows) = answer else {
        return Vec::new();
    };
    rows.into_iter().filter_map(range).collect()
}

fn range(row: Value) -> Option<Range> {
    let Value::Array(row) = row else { return None };
    let mut row = row.into_iter();
    let mut slot = || match row.next()? {
        Value::Int(slot) => u16::try_from(slot).ok().filter(|slot| *slot < SLOTS),
        _ => None,
    };
    let (first, last) = (slot()?, slot()?);
    let Value::Array(node) = row.next()? else {
        return None;
    };
    let [host, Value::Int(port), ..] = &node[..] else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    // "?" is a node that does not know its own name.
    let is_known = !host.is_empty() && host != "?";
    Some(Range {
        first,
        last,
        host: is_known.then(|| host.into()),
        port: u16::try_from(*port).ok()?,
    })
}

/// The place in `MOVED 3999 127.0.0.1:6381` or `ASK`: a host, if there is one, and a port.
pub(super) fn place(text: &str) -> Option<(Option<&str>, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some(((!host.is_empty()).then_some(host), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        for (key, expected) in [
            ("123456789", 0x31c3),
            ("foo", 12_182),
            ("{user1000}.following", slot(b"user1000")),
            ("foo{}{bar}", slot_of_whole("foo{}{bar}")),
            ("foo{{bar}}zap", slot(b"{bar")),
            ("foo{bar}{zap}", slot(b"bar")),
            ("foo{bar", slot_of_whole("foo{bar")),
            ("", 0),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    fn slot_of_whole(key: &str) -> u16 {
        crc16(key.as_bytes()) % SLOTS
    }

    #[test]
    fn answers_are_read_and_what_is_strange_is_left_out() {
        let text = |text: &str| Value::BulkString(text.into());
        let row = |first, last, host, port| {
            let node = vec![host, Value::Int(port), text("id"), Value::Array(vec![])];
            Value::Array(vec![
                Value::Int(first),
                Value::Int(last),
                Value::Array(node),
                Value::Array(vec![text("10.0.0.9"), Value::Int(1)]),
            ])
        };
        let read = ranges(Value::Array(vec![
            row(0, 5_460, text("10.0.0.1"), 7_000),
            row(5_461, 10_922, Value::Nil, 7_001),
            row(10_923, 16_383, text("?"), 7_002),
            row(0, 16_384, text("10.0.0.1"), 7_000),
            row(-1, 1, text("10.0.0.1"), 7_000),
            row(0, 1, text("10.0.0.1"), 70_000),
            Value::Array(vec![Value::Int(1)]),
            Value::Okay,
        ]));
        let seen: Vec<_> = read
            .iter()
            .map(|range| (range.first, range.last, range.host.as_deref(), range.port))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 5_460, Some("10.0.0.1"), 7_000),
                (5_461, 10_922, None, 7_001),
                (10_923, 16_383, None, 7_002),
            ]
        );
        assert_eq!(ranges(Value::Nil), []);
        assert_eq!(place("127.0.0.1:6381"), Some((Some("127.0.0.1"), 6_381)));
        assert_eq!(place("::1:6381"), Some((Some("::1"), 6_381)));
        assert_eq!(place(":6381"), Some((None, 6_381)));
        assert_eq!((place("x"), place("x:y")), (None, None));
    }
}

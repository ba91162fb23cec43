//! Where Redis is, and who we are there.

use std::{fmt, path::PathBuf};

use ::redis::{ConnectionAddr, ConnectionInfo, RedisConnectionInfo};

/// What a URL says.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) login: RedisConnectionInfo,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp {
        host: String,
        port: u16,
        /// Inside TLS.
        secret: bool,
    },
    Unix(PathBuf),
}

const FORM: &str = "a URL of Redis is redis://[[user]:password@]host[:port][/database], rediss:// for TLS, \
                    or unix:///path[?db=…&user=…&pass=…]";

impl Target {
    /// No mistake repeats what may be a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        // The client's own switch for this is one that turns verification off.
        if url.contains('#') {
            return Err(format!(
                "a URL has a `#`, which is %23 in a password; {FORM}"
            ));
        }
        let tls = ["rediss://", "valkeys://"];
        let inside = tls.iter().find_map(|scheme| url.strip_prefix(scheme));
        if inside.is_some() && !cfg!(feature = "tls") {
            return Err("a URL asks for TLS, which is the feature `tls`".to_owned());
        }
        let in_clear = inside.map(|rest| format!("redis://{rest}"));
        let info: ConnectionInfo =
            in_clear
                .as_deref()
                .unwrap_or(url)
                .parse()
                .map_err(|error: ::redis::RedisError| {
                    // The kinds of mistakes are few and have no text of ours.
                    format!("{FORM} ({})", error.category())
                })?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp {
                host: host.clone(),
                port: *port,
                secret: inside.is_some(),
            },
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(FORM.to_owned()),
        };
        let login = info.redis_settings().clone();
        if login.db() < 0 {
            return Err(format!("a database is a number from 0 on; {FORM}"));
        }
        Ok(Self { place, login })
    }

    /// Another node, to be greeted in the same way.
    pub(super) fn moved_to(mut self, host: &str, port: u16) -> Self {
        let secret = matches!(self.place, Place::Tcp { secret: true, .. });
        self.place = Place::Tcp {
            host: host.to_owned(),
            port,
            secret,
        };
        self
    }

    /// What of the greeting differs, if something does.
    pub(super) fn greets_unlike(&self, other: &Self) -> Option<&'static str> {
        let is_secret = |target: &Self| matches!(target.place, Place::Tcp { secret: true, .. });
        let (one, two) = (&self.login, &other.login);
        [
            (one.username() != two.username(), "user"),
            (one.password() != two.password(), "password"),
            (one.protocol() != two.protocol(), "protocol"),
            (is_secret(self) != is_secret(other), "TLS"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }

    /// The text without the password: servers repeat what they did not understand, and cut it where it becomes long. So what is left of
    /// it counts as well.
    pub(super) fn without_password(&self, text: &str) -> String {
        let password = self.login.password().unwrap_or_default();
        let least = password.chars().count().min(LEAST_TOLD);
        let (mut shown, mut rest) = (String::new(), text);
        while let Some(next) = rest.chars().next() {
            let (count, length) = common(password, rest);
            if count >= least && count > 0 {
                shown.push('…');
                rest = &rest[length..];
            } else {
                shown.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        shown
    }
}

/// Fewer characters are in any text.
const LEAST_TOLD: usize = 4;

/// How many characters, and bytes of the text, are what the password begins with.
fn common(password: &str, text: &str) -> (usize, usize) {
    // Servers write lines in one.
    let is_same =
        |(one, other): &(char, char)| one == other || *other == ' ' && matches!(one, '\r' | '\n');
    let same = password.chars().zip(text.chars()).take_while(is_same);
    same.fold((0, 0), |(count, length), (_, other)| {
        (count + 1, length + other.len_utf8())
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let tcp = |host: &str, port, secret| Place::Tcp {
            host: host.to_owned(),
            port,
            secret,
        };
        let local = || tcp("localhost", 6379, false);
        for (url, place, user, password, database) in [
            ("redis://localhost", local(), None, None, 0),
            ("redis://localhost/3", local(), None, None, 3),
            ("redis://:a%23b@localhost", local(), None, Some("a#b"), 0),
            ("valkey://u:p@localhost", local(), Some("u"), Some("p"), 0),
            ("redis://[::1]:7000", tcp("::1", 7000, false), None, None, 0),
            (
                "unix:///run/r.sock?db=2&pass=p",
                Place::Unix("/run/r.sock".into()),
                None,
                Some("p"),
                2,
            ),
        ] {
            let read = Target::parse(url).unwrap_or_else(|wrong| panic!("{url}: {wrong}"));
            let login = &read.login;
            assert_eq!(read.place, place, "{url}");
            assert_eq!(
                (login.username(), login.password(), login.db()),
                (user, password, database),
                "{url}"
            );
        }
        let secret = Target::parse("rediss://r.example:6380/1");
        match cfg!(feature = "tls") {
            true => assert_eq!(secret.unwrap().place, tcp("r.example", 6380, true)),
            false => assert!(secret.is_err()),
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "",
            "localhost",
            "http://:hunter2@localhost",
            "redis://",
            "redis://:hunter2@localhost/x",
            "redis://:hunter2@localhost/-1",
            "redis://:hunter2@localhost:99999",
            "redis://:hunter2#@localhost",
            "rediss://:hunter2@localhost/#insecure",
            "redis://:hunter2@0.0.0.0",
            "redis://:hunter2@localhost?protocol=resp9",
        ] {
            let wrong = Target::parse(url).map(|_| ()).unwrap_err();
            assert!(!wrong.contains("hunter2"), "{url}: {wrong}");
            assert!(wrong.contains("redis://"), "{url}: {wrong}");
        }
    }

    #[test]
    fn what_servers_repeat_is_shown_without_the_password() {
        let long = "pässword-".repeat(30);
        let lines = "first%0D%0Asecond";
        for (password, said, shown) in [
            (
                "hunter2",
                "unknown `AUTH`: `hunter2`",
                "unknown `AUTH`: `…`",
            ),
            ("hunter2", "hunter2 hunt hun", "… … hun"),
            ("ab", "ab abc a", "… …c a"),
            (&long, &format!("'{}'", &long[..128]), "'…'"),
            (&long, &format!("'{}\u{fffd}'", &long[..41]), "'…\u{fffd}'"),
            (lines, "'first  second'", "'…'"),
            ("", "nothing", "nothing"),
        ] {
            let target = Target::parse(&format!("redis://:{password}@localhost")).unwrap();
            assert_eq!(target.without_password(said), shown, "{password}");
        }
    }
}

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

    /// The text without the password: servers repeat what they did not understand.
    pub(super) fn without_password(&self, text: &str) -> String {
        match self.login.password() {
            Some(password) if !password.is_empty() => text.replace(password, "…"),
            _ => text.to_owned(),
        }
    }
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
        let target = Target::parse("redis://:hunter2@localhost").unwrap();
        assert_eq!(
            target.without_password(
                "ERR unknown command `AUTH`, with args beginning with: `hunter2`"
            ),
            "ERR unknown command `AUTH`, with args beginning with: `…`"
        );
    }
}

//! A script that servers keep, and are asked for by its digest.

use std::fmt::Write;

use ::redis::{Cmd, ToRedisArgs, cmd};
use sha1::{Digest, Sha1};

/// Lua that runs in Redis.
pub(crate) struct Script {
    code: &'static str,
    digest: String,
}

impl Script {
    pub(crate) fn new(code: &'static str) -> Self {
        let mut digest = String::with_capacity(40);
        for byte in Sha1::digest(code) {
            // A string has room for everything.
            let _ = write!(digest, "{byte:02x}");
        }
        Self { code, digest }
    }

    /// Of a server that knows it.
    pub(super) fn by_digest(&self, keys: &[String], arguments: impl ToRedisArgs) -> Cmd {
        call("EVALSHA", &self.digest, keys, arguments)
    }

    /// Which it knows from then on.
    pub(super) fn by_code(&self, keys: &[String], arguments: impl ToRedisArgs) -> Cmd {
        call("EVAL", self.code, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[String], arguments: impl ToRedisArgs) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_its_digest() {
        let script = Script::new("return 1");
        assert_eq!(script.digest, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}

//! Keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::public::{Curve, Public, UNCOMPRESSED};
use crate::auth::jose::{Algorithm, KeyError, Value};

/// A JWK that is looked at.
#[derive(Clone, Copy)]
pub(in crate::auth::jose) struct Jwk<'a>(pub(in crate::auth::jose) Value<'a>);

/// Members that only private keys and secrets have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl<'a> Jwk<'a> {
    /// A member that is a string, if it is there.
    pub(in crate::auth::jose) fn text(
        self,
        member: &'static str,
    ) -> Result<Option<&'a str>, KeyError> {
        let Some(value) = self.0.member(member) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or(KeyError::Member {
            member,
            wrong: "has to be a string",
        })?;
        Ok(Some(text))
    }

    /// A member that has to be there.
    fn wanted(self, member: &'static str) -> Result<&'a str, KeyError> {
        let wrong = "is missing";
        self.text(member)?.ok_or(KeyError::Member { member, wrong })
    }

    /// A member that has to be there, in base64url.
    pub(in crate::auth::jose) fn bytes(self, member: &'static str) -> Result<Vec<u8>, KeyError> {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(self.wanted(member)?);
        decoded.map_err(|_| KeyError::Member {
            member,
            wrong: "is not base64url without padding",
        })
    }

    /// The same, of exactly so many bytes.
    pub(in crate::auth::jose) fn sized(
        self,
        member: &'static str,
        size: usize,
    ) -> Result<Vec<u8>, KeyError> {
        let bytes = self.bytes(member)?;
        let wrong = "has not as many bytes as the curve wants";
        match bytes.len() == size {
            true => Ok(bytes),
            false => Err(KeyError::Member { member, wrong }),
        }
    }

    pub(in crate::auth::jose) fn kty(self) -> Result<&'a str, KeyError> {
        self.wanted("kty")
    }

    pub(in crate::auth::jose) fn is_private(self) -> bool {
        let mut members = PRIVATE.into_iter();
        members.any(|member| self.0.member(member).is_some())
    }

    /// What `alg` binds it to.
    pub(in crate::auth::jose) fn algorithm(self) -> Result<Option<Algorithm>, KeyError> {
        self.text("alg")?.map(str::parse).transpose()
    }

    /// Refuses a key that is not for signatures, or not for this operation.
    pub(in crate::auth::jose) fn check_use(self, operation: &str) -> Result<(), KeyError> {
        let wrong = |member, wrong| Err(KeyError::Member { member, wrong });
        if self.text("use")?.is_some_and(|usage| usage != "sig") {
            return wrong("use", "has to be \"sig\" if it is there");
        }
        let Some(operations) = self.0.member("key_ops") else {
            return Ok(());
        };
        let Some(mut operations) = operations.items() else {
            return wrong("key_ops", "has to be an array");
        };
        match operations.any(|it| it.as_str() == Some(operation)) {
            true => Ok(()),
            false => wrong("key_ops", "has to allow the operation if it is there"),
        }
    }

    /// The curve of an `EC` key.
    fn curve(self) -> Result<Curve, KeyError> {
        let name = self.wanted("crv")?;
        let mut curves = Curve::ALL.into_iter();
        curves
            .find(|curve| curve.name() == name)
            .ok_or(KeyError::Member {
                member: "crv",
                wrong: "has to be P-256, P-384 or P-521 for an EC key",
            })
    }

    /// Its public half.
    pub(in crate::auth::jose) fn public(self) -> Result<Public, KeyError> {
        match self.kty()? {
            "RSA" => Public::rsa(&self.bytes("n")?, &self.bytes("e")?),
            "EC" => {
                let curve = self.curve()?;
                let (x, y) = (
                    self.sized("x", curve.size())?,
                    self.sized("y", curve.size())?,
                );
                Public::ec(curve, &[&[UNCOMPRESSED], &*x, &y].concat())
            }
            "OKP" if self.wanted("crv")? == "Ed25519" => Public::ed25519(&self.bytes("x")?),
            "OKP" => Err(KeyError::Member {
                member: "crv",
                wrong: "has to be Ed25519 for an OKP key",
            }),
            _ => Err(KeyError::Member {
                member: "kty",
                wrong: "has to be RSA, EC, OKP or oct",
            }),
        }
    }
}

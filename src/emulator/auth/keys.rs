//! The access keys that the server knows, and the rules for security tokens.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::emulator::refusal::Refusal;

/// One access key: a static one, or a temporary one with its token.
#[derive(Clone)]
pub(in crate::emulator) struct Key {
    pub(in crate::emulator) id: String,
    pub(in crate::emulator) secret: Zeroizing<String>,
    pub(in crate::emulator) token: Option<Token>,
    /// Whether it is of the account that the buckets belong to.
    pub(in crate::emulator) of_owner: bool,
}

/// The token of a temporary key.
#[derive(Clone)]
pub(in crate::emulator) struct Token {
    pub(in crate::emulator) text: Zeroizing<String>,
    pub(in crate::emulator) expired: bool,
}

impl Key {
    pub(in crate::emulator) fn fixed(id: String, secret: String) -> Self {
        Self {
            id,
            secret: secret.into(),
            token: None,
            of_owner: true,
        }
    }

    /// A key of another account.
    pub(in crate::emulator) fn of_requester(id: String, secret: String) -> Self {
        Self {
            of_owner: false,
            ..Self::fixed(id, secret)
        }
    }

    pub(in crate::emulator) fn temporary(
        id: String,
        secret: String,
        token: String,
        expired: bool,
    ) -> Self {
        let token = Some(Token {
            text: token.into(),
            expired,
        });
        Self {
            token,
            ..Self::fixed(id, secret)
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("temporary", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// All access keys.
#[derive(Clone, Debug, Default)]
pub(in crate::emulator) struct Keys(Vec<Key>);

impl Keys {
    pub(in crate::emulator) fn add(&mut self, key: Key) {
        self.0.push(key);
    }

    /// The keys, in the order in which they were added.
    pub(in crate::emulator) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// Gives every key of this id another secret.
    pub(in crate::emulator) fn set_secret(&mut self, id: &str, secret: &str) {
        for key in self.0.iter_mut().filter(|key| key.id == id) {
            key.secret = Zeroizing::new(secret.to_owned());
        }
    }

    /// Lets every temporary key of this id expire.
    pub(in crate::emulator) fn expire(&mut self, id: &str) {
        for key in self.0.iter_mut().filter(|key| key.id == id) {
            if let Some(token) = &mut key.token {
                token.expired = true;
            }
        }
    }

    /// Whether there is a key with this id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// The key that a request with this id and token uses.
    pub(super) fn find(&self, id: &str, token: Option<&str>) -> Result<&Key, Refusal> {
        let mut known = self.0.iter().filter(|key| key.id == id).peekable();
        if known.peek().is_none() {
            return Err(unknown_id(id, "0002-00000902"));
        }
        let Some(token) = token else {
            // OSS does not find a temporary id when its token is missing.
            return known
                .find(|key| key.token.is_none())
                .ok_or_else(|| unknown_id(id, "0002-00000003"));
        };
        let mut temporary = known.filter(|key| key.token.is_some()).peekable();
        if temporary.peek().is_none() {
            // A token makes the request a temporary one, and no such temporary id exists.
            return Err(unknown_id(id, "0002-00000002"));
        }
        let key = temporary
            .find(|key| key.has_token(token))
            .ok_or_else(|| self.wrong_token(token))?;
        if key.token.as_ref().is_some_and(|token| token.expired) {
            return Err(Refusal::forbidden(
                "SecurityTokenExpired",
                "The security token you provided has expired.",
            )
            .ec("0002-00000007"));
        }
        Ok(key)
    }

    fn wrong_token(&self, token: &str) -> Refusal {
        if self.0.iter().any(|key| key.has_token(token)) {
            return Refusal::forbidden(
                "AccessKeyIdAndSecurityTokenNotMatch",
                "The access key id and the security token do not belong together.",
            )
            .ec("0002-00000004");
        }
        Refusal::forbidden(
            "InvalidSecurityToken",
            "The security token you provided is invalid.",
        )
        .ec("0002-00000006")
    }
}

impl Key {
    fn has_token(&self, token: &str) -> bool {
        self.token
            .as_ref()
            .is_some_and(|own| bool::from(own.text.as_bytes().ct_eq(token.as_bytes())))
    }
}

fn unknown_id(id: &str, ec: &'static str) -> Refusal {
    Refusal::forbidden(
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records.",
    )
    .ec(ec)
    .element("OSSAccessKeyId", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(id: &str, token: Option<&str>) -> String {
        let mut keys = Keys::default();
        keys.add(Key::fixed("ak".into(), "sk".into()));
        keys.add(Key::temporary("a".into(), "s".into(), "ta".into(), false));
        keys.add(Key::temporary("b".into(), "s".into(), "tb".into(), false));
        keys.add(Key::temporary("old".into(), "s".into(), "to".into(), false));
        keys.expire("old");
        match keys.find(id, token) {
            Ok(key) => format!("ok {}", key.id),
            Err(refusal) => refusal.code.into_owned(),
        }
    }

    #[test]
    fn an_id_and_its_token_belong_together() {
        assert_eq!(code("ak", None), "ok ak");
        assert_eq!(code("a", Some("ta")), "ok a");
        assert_eq!(code("a", None), "InvalidAccessKeyId");
        assert_eq!(code("ak", Some("ta")), "InvalidAccessKeyId");
        assert_eq!(code("nobody", None), "InvalidAccessKeyId");
        assert_eq!(code("a", Some("x")), "InvalidSecurityToken");
        assert_eq!(code("a", Some("tb")), "AccessKeyIdAndSecurityTokenNotMatch");
        assert_eq!(code("old", Some("to")), "SecurityTokenExpired");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = Key::temporary("id".into(), "hush".into(), "hush".into(), false);
        assert!(!format!("{key:?}").contains("hush"));
    }
}

//! Platforms whose handles have one form: other names of them, their links, their letter case.
//!
//! Two agencies that report one account must arrive at one handle. A platform that is not listed
//! keeps a handle as it was written; one that is listed refuses what cannot be a handle of it.

use super::error::Normalised;
use super::{phone, text};
use std::borrow::Cow;

/// The form of a platform's handles.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Letters, digits and these, from so many to so many characters; letter case does not matter.
    Name { more: &'static str, min: usize, max: usize },
    /// A telephone number with its country code.
    Phone,
    /// The name of an account at a server, `name@server`; letter case does not matter.
    Address,
    /// Hexadecimal digits, so many.
    Hex(usize),
    /// Letters and digits that were given out; letter case matters.
    Token { min: usize, max: usize },
}

struct Platform {
    name: &'static str,
    aliases: &'static [&'static str],
    /// Hosts of links to accounts, without `www.`
    hosts: &'static [&'static str],
    /// Written before a name.
    sigil: &'static str,
    /// The first that fits is the handle's.
    forms: &'static [Form],
    example: &'static str,
}

const fn name(more: &'static str, min: usize, max: usize) -> Form {
    Form::Name { more, min, max }
}

const PLATFORMS: &[Platform] = &[
    Platform {
        name: "telegram",
        aliases: &["tg", "t.me"],
        hosts: &["t.me", "telegram.me", "telegram.dog"],
        sigil: "@",
        forms: &[Form::Phone, name("_", 4, 32)],
        example: "telegram:@name",
    },
    Platform {
        name: "whatsapp",
        aliases: &["wa", "wa.me"],
        hosts: &["wa.me", "api.whatsapp.com"],
        sigil: "",
        forms: &[Form::Phone],
        example: "whatsapp:+81312345678",
    },
    Platform {
        name: "signal",
        aliases: &["signal.me"],
        hosts: &["signal.me"],
        sigil: "",
        forms: &[Form::Phone, name("_.", 4, 36)],
        example: "signal:+81312345678 or signal:name.01",
    },
    Platform {
        name: "viber",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[Form::Phone],
        example: "viber:+81312345678",
    },
    Platform {
        name: "line",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[name("_.-@", 2, 33)],
        example: "line:name",
    },
    Platform {
        name: "skype",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[name("_.,-:", 3, 64)],
        example: "skype:live:name",
    },
    Platform {
        name: "matrix",
        aliases: &["element"],
        hosts: &[],
        sigil: "@",
        forms: &[name("_.=-/+:", 3, 255)],
        example: "matrix:@name:server.example",
    },
    Platform {
        name: "xmpp",
        aliases: &["jabber"],
        hosts: &[],
        sigil: "",
        forms: &[Form::Address],
        example: "xmpp:name@server.example",
    },
    Platform {
        name: "threema",
        aliases: &["threema.id"],
        hosts: &["threema.id"],
        sigil: "",
        forms: &[name("*", 8, 8)],
        example: "threema:abcd1234",
    },
    Platform {
        name: "session",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[Form::Hex(66)],
        example: "session:05 and 64 hexadecimal digits",
    },
    Platform {
        name: "tox",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[Form::Hex(76)],
        example: "tox: and 76 hexadecimal digits",
    },
    Platform {
        name: "x",
        aliases: &["twitter", "x.com", "twitter.com"],
        hosts: &["x.com", "twitter.com", "mobile.twitter.com"],
        sigil: "@",
        forms: &[name("_", 1, 15)],
        example: "x:@name",
    },
    Platform {
        name: "instagram",
        aliases: &["ig", "insta", "instagram.com"],
        hosts: &["instagram.com", "instagr.am"],
        sigil: "@",
        forms: &[name("_.", 1, 30)],
        example: "instagram:@name",
    },
    Platform {
        name: "threads",
        aliases: &["threads.net"],
        hosts: &["threads.net", "threads.com"],
        sigil: "@",
        forms: &[name("_.", 1, 30)],
        example: "threads:@name",
    },
    Platform {
        name: "tiktok",
        aliases: &["tiktok.com"],
        hosts: &["tiktok.com", "m.tiktok.com"],
        sigil: "@",
        forms: &[name("_.", 2, 24)],
        example: "tiktok:@name",
    },
    Platform {
        name: "facebook",
        aliases: &["fb", "facebook.com"],
        hosts: &["facebook.com", "m.facebook.com", "fb.com", "fb.me"],
        sigil: "",
        forms: &[name(".", 1, 50)],
        example: "facebook:name",
    },
    Platform {
        name: "messenger",
        aliases: &["m.me"],
        hosts: &["m.me"],
        sigil: "",
        forms: &[name(".", 1, 50)],
        example: "messenger:name",
    },
    Platform {
        name: "reddit",
        aliases: &["reddit.com"],
        hosts: &["reddit.com", "old.reddit.com"],
        sigil: "",
        forms: &[name("_-", 3, 20)],
        example: "reddit:name",
    },
    Platform {
        name: "github",
        aliases: &["github.com"],
        hosts: &["github.com"],
        sigil: "",
        forms: &[name("-", 1, 39)],
        example: "github:name",
    },
    Platform {
        name: "snapchat",
        aliases: &["snap"],
        hosts: &["snapchat.com"],
        sigil: "",
        forms: &[name("_.-", 3, 15)],
        example: "snapchat:name",
    },
    Platform {
        name: "vk",
        aliases: &["vk.com", "vkontakte"],
        hosts: &["vk.com", "m.vk.com"],
        sigil: "",
        forms: &[name("_.", 1, 32)],
        example: "vk:name",
    },
    Platform {
        name: "bluesky",
        aliases: &["bsky"],
        hosts: &["bsky.app"],
        sigil: "@",
        forms: &[name(".-", 4, 253)],
        example: "bluesky:@name.bsky.social",
    },
    Platform {
        name: "mastodon",
        aliases: &[],
        hosts: &[],
        sigil: "@",
        forms: &[Form::Address],
        example: "mastodon:@name@server.example",
    },
    Platform {
        name: "youtube",
        aliases: &["yt"],
        hosts: &["youtube.com", "m.youtube.com"],
        sigil: "@",
        forms: &[name("_.-", 3, 30)],
        example: "youtube:@name",
    },
    Platform {
        name: "paypal",
        aliases: &["paypal.me"],
        hosts: &["paypal.me"],
        sigil: "",
        forms: &[Form::Address, Form::Phone, name("", 1, 20)],
        example: "paypal:name or paypal:name@example.com",
    },
    Platform {
        name: "cashapp",
        aliases: &["cash.app", "cash"],
        hosts: &["cash.app"],
        sigil: "$",
        forms: &[name("_-", 1, 20)],
        example: "cashapp:$name",
    },
    Platform {
        name: "venmo",
        aliases: &[],
        hosts: &["venmo.com", "account.venmo.com"],
        sigil: "@",
        forms: &[name("_-", 5, 30)],
        example: "venmo:@name",
    },
    Platform {
        name: "zelle",
        aliases: &[],
        hosts: &[],
        sigil: "",
        forms: &[Form::Address, Form::Phone],
        example: "zelle:name@example.com or zelle:+12025550123",
    },
    Platform {
        name: "wechat",
        aliases: &["weixin"],
        hosts: &[],
        sigil: "",
        forms: &[Form::Token { min: 6, max: 32 }],
        example: "wechat:wxid_abc123",
    },
];

/// A handle as `(platform, name)` of a listed platform, or `None` for one that is not listed.
/// `text` is `platform:name`, or a link such as `https://t.me/name`.
pub(super) fn normalise(text: &str) -> Option<Normalised> {
    let plain = text::refang_url(text);
    if let Some((platform, rest)) = linked(&plain) {
        return Some(platform.handle(rest));
    }
    let (named, rest) = plain.split_once(':')?;
    let named = named.trim().to_ascii_lowercase();
    let is_named =
        |platform: &&Platform| platform.name == named || platform.aliases.contains(&named.as_str());
    let platform = PLATFORMS.iter().find(is_named)?;
    // `telegram:https://t.me/name` and `telegram:t.me/name`.
    let rest = rest.trim();
    Some(match linked(rest) {
        Some((of, inner)) if of.name == platform.name => platform.handle(inner),
        Some((of, _)) => Err(format!(
            "it names {} and links to {}; give the one that it is",
            platform.name, of.name
        )
        .into()),
        None => platform.handle(rest),
    })
}

/// The platform of a link and what stands behind its host.
fn linked(text: &str) -> Option<(&'static Platform, &str)> {
    let bare = strip_prefix_folded(text, "https://")
        .or_else(|| strip_prefix_folded(text, "http://"))
        .unwrap_or(text);
    let bare = strip_prefix_folded(bare, "www.").unwrap_or(bare);
    let (host, path) = bare.split_once('/')?;
    let host = host.to_ascii_lowercase();
    let platform = PLATFORMS.iter().find(|platform| platform.hosts.contains(&host.as_str()))?;
    Some((platform, path))
}

fn strip_prefix_folded<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl Platform {
    fn handle(&self, written: &str) -> Normalised {
        let name = self.bare(written);
        if let Some(invitation) = self.invitation(&name) {
            return Ok(format!("{}:{invitation}", self.name));
        }
        let found = self.forms.iter().find_map(|form| form.normal(&name, self.sigil));
        match found {
            Some(normal) => Ok(format!("{}:{normal}", self.name)),
            None => Err(format!(
                "a {} handle does not look like that; wanted one such as {}",
                self.name, self.example
            )
            .into()),
        }
    }

    /// The name without sigil, query, and the parts of a link that name nothing.
    fn bare<'a>(&self, written: &'a str) -> Cow<'a, str> {
        let mut name = written.trim();
        if let Some(id) = name
            .strip_prefix("profile.php?id=")
            .filter(|_| ["facebook", "messenger"].contains(&self.name))
        {
            return id.split('&').next().unwrap_or(id).into();
        }
        if let Some(number) = strip_prefix_folded(name, "send?phone=") {
            return with_plus(number.split('&').next().unwrap_or(number)).into();
        }
        name = name.split(['?', '#']).next().unwrap_or(name).trim_end_matches('/');
        for prefix in ["in/", "u/", "user/", "r/", "s/", "add/", "profile/", "me/", "paypalme/"] {
            let rest = strip_prefix_folded(name, prefix);
            name = rest.filter(|rest| !rest.is_empty()).unwrap_or(name);
        }
        if !self.sigil.is_empty() {
            name = name.strip_prefix(self.sigil).unwrap_or(name);
        } else if self.name != "line" {
            name = name.strip_prefix('@').unwrap_or(name);
        }
        let is_phone_only = self.forms == [Form::Phone];
        if is_phone_only && !name.starts_with('+') {
            return with_plus(name).into();
        }
        name.into()
    }

    /// Links into groups hold a random token, whose letter case matters.
    fn invitation(&self, name: &str) -> Option<String> {
        if self.name != "telegram" {
            return None;
        }
        let token = name.strip_prefix("joinchat/").or_else(|| {
            let token = name.strip_prefix('+')?;
            token.bytes().any(|b| b.is_ascii_alphabetic()).then_some(token)
        })?;
        let sound = (8..=64).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        sound.then(|| format!("joinchat/{token}"))
    }
}

/// A number that a platform writes without its plus.
fn with_plus(digits: &str) -> String {
    let is_bare = digits.starts_with(|c: char| ('1'..='9').contains(&c));
    if is_bare { format!("+{digits}") } else { digits.to_owned() }
}

impl Form {
    fn normal(self, name: &str, sigil: &str) -> Option<String> {
        match self {
            Self::Name { more, min, max } => {
                let sound = (min..=max).contains(&name.chars().count())
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
                // Some platforms number their accounts; a number has no sigil.
                let is_number = name.bytes().all(|b| b.is_ascii_digit());
                let sigil = if is_number { "" } else { sigil };
                sound.then(|| format!("{sigil}{}", name.to_ascii_lowercase()))
            }
            Self::Phone => name.starts_with('+').then(|| phone::normalise(name).ok()).flatten(),
            Self::Address => {
                let (local, server) = name.split_once('@')?;
                let server = super::domain::host_name(server).ok()?;
                let sound = (1..=64).contains(&local.len())
                    && local
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._+-!#$%&'*=?^`{|}~".contains(&b));
                sound.then(|| format!("{sigil}{}@{server}", local.to_ascii_lowercase()))
            }
            Self::Hex(digits) => {
                let sound = name.len() == digits && name.bytes().all(|b| b.is_ascii_hexdigit());
                sound.then(|| name.to_ascii_lowercase())
            }
            Self::Token { min, max } => {
                let sound = (min..=max).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
                sound.then(|| name.to_owned())
            }
        }
    }
}

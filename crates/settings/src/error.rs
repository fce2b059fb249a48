//! Why settings were refused. It names keys and origins, and never a secret's value.

use std::path::PathBuf;

/// A reason not to boot. `Display` names the key and where it was set; the cause, if any, is the
/// error's `source`.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The settings file is missing, unreadable or not TOML.
    #[error("settings file {path} cannot be read")]
    File {
        /// The path that was asked for.
        path: PathBuf,
        /// What the reader said.
        source: Box<config::ConfigError>,
    },
    /// The defaults document embedded in the binary is not TOML: a fault of the program.
    #[error("the built-in defaults of `{service}` are not valid")]
    Defaults {
        /// The service's name.
        service: String,
        /// What the parser said.
        source: Box<config::ConfigError>,
    },
    /// The overrides are not a JSON object.
    #[error("the overrides of `{service}` must be an object of sections")]
    Overrides {
        /// The service's name.
        service: String,
    },
    /// A key that no setting has.
    #[error("unknown setting `{key}`, set by {origin}")]
    UnknownKey {
        /// The dotted path.
        key: String,
        /// The environment variable, the file, or the overrides.
        origin: String,
    },
    /// A key is missing, unknown to its section, or its value has the wrong type or range.
    #[error("setting `{key}` (from {origin}) is not usable")]
    Unusable {
        /// The dotted path.
        key: String,
        /// The environment variable, the file, the overrides, or the defaults.
        origin: String,
        /// What the deserializer said.
        source: Box<config::ConfigError>,
    },
    /// An environment variable that looks like one of ours but cannot name a setting.
    #[error("environment variable {variable} cannot name a setting: {reason}")]
    Environment {
        /// The variable's full name.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One setting's value breaks a rule.
    #[error("setting `{key}` is not allowed: {reason}")]
    Invalid {
        /// The dotted path.
        key: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// Two settings contradict each other.
    #[error("settings `{first}` and `{second}` contradict each other: {reason}")]
    Contradiction {
        /// One dotted path.
        first: String,
        /// The other dotted path.
        second: String,
        /// Why both cannot hold.
        reason: String,
    },
}

impl SettingsError {
    /// One setting breaks a rule.
    pub fn invalid(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// Two settings contradict each other; both are named.
    pub fn contradiction(
        first: impl Into<String>,
        second: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Contradiction {
            first: first.into(),
            second: second.into(),
            reason: reason.into(),
        }
    }
}

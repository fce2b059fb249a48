//! Merging the layers and turning them into a service's settings.

use std::{collections::BTreeMap, path::Path};

use config::{Config, File, FileFormat, Source, Value};
use serde::de::DeserializeOwned;

use crate::{
    SettingsError,
    layers::{self, Layer},
};

/// Rules that one value's type cannot say: ranges and contradictions.
pub trait Validate {
    /// Refuses settings that break a rule.
    ///
    /// # Errors
    /// [`SettingsError::invalid`] names the key, [`SettingsError::contradiction`] names both.
    fn validate(&self) -> Result<(), SettingsError>;
}

/// Loads the settings of the service `name`. Later layers win, key by key:
/// `defaults` (the commented TOML document of the binary), `file` (TOML), the variables
/// `DEVSIGNAL_<NAME>__SECTION__KEY` of `env`, and `overrides` (a JSON object of sections).
///
/// # Errors
/// Any layer that cannot be read, any key that no setting has (with its origin), any value of the
/// wrong type, and whatever [`Validate`] refuses.
pub fn load<T: DeserializeOwned + Validate>(
    name: &str,
    defaults: &str,
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    overrides: Option<serde_json::Value>,
) -> Result<T, SettingsError> {
    let defaults =
        merge([File::from_str(defaults, FileFormat::Toml)]).map_err(|source| SettingsError::Defaults {
            service: name.to_owned(),
            source,
        })?;
    let from_file = match file {
        None => None,
        Some(path) => Some(
            merge([File::from(path).format(FileFormat::Toml).required(true)]).map_err(|source| {
                SettingsError::File {
                    path: path.to_owned(),
                    source,
                }
            })?,
        ),
    };
    let overrides = match overrides {
        None => Layer::default(),
        Some(value) => layers::overrides(name, value)?,
    };
    let mut beneath: Vec<Box<dyn Source + Send + Sync>> = vec![Box::new(defaults)];
    beneath.extend(
        from_file
            .clone()
            .map(|layer| Box::new(layer) as Box<dyn Source + Send + Sync>),
    );
    let unusable = |source| SettingsError::Unusable {
        key: ".".to_owned(),
        origin: "all layers".to_owned(),
        source,
    };
    let below = merge([beneath.clone()]).map_err(unusable)?;
    let environment = layers::environment(name, env, &below)?;
    beneath.push(Box::new(environment.layer));
    beneath.push(Box::new(overrides.clone()));
    let origins = Origins {
        overrides: merge([overrides]).map_err(unusable)?,
        variables: environment.variables,
        file: file.map(|path| path.display().to_string()).zip(from_file),
    };
    let settings: T = deserialize(merge([beneath]).map_err(unusable)?, &origins)?;
    settings.validate()?;
    Ok(settings)
}

/// The variables of this process whose names and values are UTF-8, for [`load`].
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn merge<S: Source + Send + Sync + 'static>(
    sources: impl IntoIterator<Item = S>,
) -> Result<Config, Box<config::ConfigError>> {
    sources
        .into_iter()
        .fold(Config::builder(), |builder, source| builder.add_source(source))
        .build()
        .map_err(Box::new)
}

fn deserialize<T: DeserializeOwned>(merged: Config, origins: &Origins) -> Result<T, SettingsError> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let watched = serde_ignored::Deserializer::new(merged, &mut note);
    let settings = serde_path_to_error::deserialize(watched).map_err(|error| {
        let key = error.path().to_string();
        SettingsError::Unusable {
            origin: origins.of(&key),
            key,
            source: Box::new(error.into_inner()),
        }
    })?;
    // Sorted, so that the same mistake gives the same message.
    unknown.sort();
    match unknown.into_iter().next() {
        None => Ok(settings),
        Some(key) => Err(SettingsError::UnknownKey {
            origin: origins.of(&key),
            key,
        }),
    }
}

/// Tells for a key which layer had the last word.
struct Origins {
    overrides: Config,
    variables: BTreeMap<String, String>,
    file: Option<(String, Config)>,
}

impl Origins {
    fn of(&self, key: &str) -> String {
        if self.overrides.get::<Value>(key).is_ok() {
            return "the overrides".to_owned();
        }
        // A variable below the key (`PORT__X` where `port` is a number) spoils the key itself.
        let beneath = format!("{key}.");
        let spoiled_by = self
            .variables
            .iter()
            .find(|(path, _)| *path == key || path.starts_with(&beneath));
        if let Some((_, variable)) = spoiled_by {
            return format!("environment variable {variable}");
        }
        match &self.file {
            Some((path, layer)) if layer.get::<Value>(key).is_ok() => format!("file {path}"),
            _ => "the defaults".to_owned(),
        }
    }
}

//! The public part of the contract, read from the descriptors once at start.
//!
//! Owns: which gRPC services are public (those with an HTTP annotation on some method). Must not: know any of them.

use std::collections::HashSet;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor, Value,
};
use prost_types::FileDescriptorSet;

use crate::error::StartError;

/// The descriptors, and the annotation that makes a method public.
#[derive(Clone)]
pub struct Contract {
    pool: DescriptorPool,
    annotation: ExtensionDescriptor,
}

/// Public services whose methods all stream, so that none has an annotation.
const STREAMS_ONLY: [&str; 1] = ["devsignal.crm.v1.ExportService"];

impl Contract {
    /// Reads the descriptors that this crate was built with.
    ///
    /// # Errors
    /// They do not hold together.
    pub fn load() -> Result<Self, StartError> {
        let pool = DescriptorPool::decode(contracts::DESCRIPTORS)
            .map_err(|error| StartError::Descriptors(error.to_string()))?;
        let annotation = pool
            .get_extension_by_name("google.api.http")
            .ok_or_else(|| StartError::Descriptors("google.api.http is missing".to_owned()))?;
        Ok(Self { pool, annotation })
    }

    /// All messages.
    #[must_use]
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The HTTP rules of a method: its own and the additional ones.
    #[must_use]
    pub fn rules(&self, method: &MethodDescriptor) -> Vec<DynamicMessage> {
        let options = method.options();
        if !options.has_extension(&self.annotation) {
            return Vec::new();
        }
        let Value::Message(rule) = options.get_extension(&self.annotation).into_owned() else {
            return Vec::new();
        };
        let more: Vec<DynamicMessage> = rule
            .get_field_by_name("additional_bindings")
            .and_then(|list| {
                list.as_list()
                    .map(|l| l.iter().filter_map(|v| v.as_message().cloned()).collect())
            })
            .unwrap_or_default();
        std::iter::once(rule).chain(more).collect()
    }

    /// The public services.
    pub fn services(&self) -> impl Iterator<Item = ServiceDescriptor> + '_ {
        self.pool.services().filter(|service| {
            let streams = STREAMS_ONLY.contains(&service.full_name());
            streams || service.methods().any(|m| !self.rules(&m).is_empty())
        })
    }

    /// What reflection may show: the files of the public services and what they use, without internal services.
    #[must_use]
    pub fn public_files(&self) -> FileDescriptorSet {
        let public: HashSet<String> = self.services().map(|s| s.full_name().to_owned()).collect();
        let (mut seen, mut files) = (HashSet::new(), Vec::new());
        for service in self.services() {
            collect(&service.parent_file(), &mut seen, &mut files);
        }
        let file = files
            .into_iter()
            .map(|file| {
                let mut proto = file.file_descriptor_proto().clone();
                let package = proto.package().to_owned();
                proto
                    .service
                    .retain(|s| public.contains(&format!("{package}.{}", s.name())));
                proto
            })
            .collect();
        FileDescriptorSet { file }
    }

    /// The file of a message and what it uses, without any service.
    #[must_use]
    pub fn files_of(message: &MessageDescriptor) -> FileDescriptorSet {
        let (mut seen, mut files) = (HashSet::new(), Vec::new());
        collect(&message.parent_file(), &mut seen, &mut files);
        let protos = files.iter().map(|file| {
            let mut proto = file.file_descriptor_proto().clone();
            proto.service.clear();
            // Comments make most of its size, and stand in the JSON Schema.
            proto.source_code_info = None;
            proto
        });
        FileDescriptorSet {
            file: protos.collect(),
        }
    }

    /// What reflection may show, encoded.
    #[must_use]
    pub fn public_descriptors(&self) -> Vec<u8> {
        self.public_files().encode_to_vec()
    }
}

/// A file after the files that it imports.
fn collect(file: &FileDescriptor, seen: &mut HashSet<String>, into: &mut Vec<FileDescriptor>) {
    if !seen.insert(file.name().to_owned()) {
        return;
    }
    for dependency in file.dependencies() {
        collect(&dependency, seen, into);
    }
    into.push(file.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_services_are_not_public() {
        let contract = Contract::load().unwrap();
        let names: Vec<_> = contract.services().map(|s| s.full_name().to_owned()).collect();
        assert!(names.contains(&"devsignal.signals.v1.SignalService".to_owned()));
        assert!(
            names
                .iter()
                .all(|n| !n.contains("Intake") && !n.contains("Stage")),
            "{names:?}"
        );
        let shown = contract.public_files();
        assert!(
            shown
                .file
                .iter()
                .flat_map(|f| &f.service)
                .all(|s| !s.name().contains("Intake"))
        );
        assert!(
            shown
                .file
                .iter()
                .all(|f| !f.name().contains("intake") && !f.name().contains("ops/"))
        );
    }
}

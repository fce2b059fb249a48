//! Compiles `proto/` with a pure-Rust compiler: messages, gRPC stubs and the descriptor set.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use prost_types::FileDescriptorSet;

fn main() -> anyhow::Result<()> {
    // Asked for when it runs: a build script that is already compiled may run for another checkout.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root.join("devsignal"), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?;
    // Encoded by the compiler: messages of `prost_types` would lose the options' extensions, `google.api.http` above all.
    let descriptors = compiler.encode_file_descriptor_set();
    let set = compiler.file_descriptor_set();
    let rules = rules(&compiler.descriptor_pool())?;
    let events = events(&compiler.descriptor_pool())?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors)?;
    std::fs::write(out.join("streaming.rs"), format!("{:?}", client_streaming(&set)))?;
    std::fs::write(out.join("rules.rs"), rules)?;
    std::fs::write(out.join("events.rs"), events)?;
    // Bytes instead of Vec<u8>: bodies travel through the gateway without a copy.
    tonic_prost_build::configure()
        .bytes(".devsignal.signals.v1")
        .compile_fds(set)?;
    Ok(())
}

/// The rule of every method of ours, as Rust. A method without one does not build.
fn rules(pool: &DescriptorPool) -> anyhow::Result<String> {
    let option = pool
        .get_extension_by_name("devsignal.options.v1.access")
        .context("the option devsignal.options.v1.access is missing")?;
    let permissions = pool
        .get_enum_by_name("devsignal.options.v1.Permission")
        .context("the enum devsignal.options.v1.Permission is missing")?;
    let mut lines = Vec::new();
    for service in pool
        .services()
        .filter(|s| s.full_name().starts_with("devsignal."))
    {
        for method in service.methods() {
            let value = method.options().get_extension(&option).into_owned();
            let rule = value.as_message().context("the option is a message")?;
            let field = |name: &str| rule.get_field_by_name(name).map(std::borrow::Cow::into_owned);
            let resource = field("resource")
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default();
            let number = field("permission")
                .and_then(|v| v.as_enum_number())
                .unwrap_or_default();
            anyhow::ensure!(
                number != 0 && !resource.is_empty(),
                "{} says not who may call it: give it the option (devsignal.options.v1.access)",
                method.full_name()
            );
            let name = permissions.get_value(number).context("an unknown permission")?;
            let word = name.name().trim_start_matches("PERMISSION_").to_lowercase();
            // `Self` is a word of Rust's own.
            let variant = match word.as_str() {
                "self" => "Self_".to_owned(),
                _ => word[..1].to_uppercase() + &word[1..],
            };
            lines.push(format!(
                "Rule {{ method: \"/{}/{}\", resource: {resource:?}, permission: Permission::{variant} }}",
                service.full_name(),
                method.name()
            ));
        }
    }
    lines.sort();
    Ok(format!("[{}]", lines.join(",\n")))
}

/// The messages that travel on the bus, as Rust. What an option says wrongly does not build.
fn events(pool: &DescriptorPool) -> anyhow::Result<String> {
    let option = pool
        .get_extension_by_name("devsignal.options.v1.event")
        .context("the option devsignal.options.v1.event is missing")?;
    let carriages = pool
        .get_enum_by_name("devsignal.options.v1.EventCarriage")
        .context("the enum devsignal.options.v1.EventCarriage is missing")?;
    let mut lines = Vec::new();
    for message in pool.all_messages().filter(|m| m.options().has_extension(&option)) {
        let name = message.full_name().to_owned();
        let value = message.options().get_extension(&option).into_owned();
        let rule = value.as_message().context("the option is a message")?;
        let field = |name: &str| rule.get_field_by_name(name).map(std::borrow::Cow::into_owned);
        let kind = field("type")
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        let number = field("carriage")
            .and_then(|v| v.as_enum_number())
            .unwrap_or_default();
        let carriage = carriages.get_value(number).context("an unknown carriage")?;
        anyhow::ensure!(number != 0, "{name} says not how it travels");
        let (object, action) = kind.split_once('.').unwrap_or_default();
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        anyhow::ensure!(
            word(object) && word(action),
            "{name}: a type is <object>.<action>"
        );
        for object in field("objects").iter().filter_map(|v| v.as_list()).flatten() {
            let path = object
                .as_message()
                .and_then(|o| o.get_field_by_name("field").map(|f| f.into_owned()));
            let path = path
                .and_then(|p| p.as_str().map(str::to_owned))
                .unwrap_or_default();
            anyhow::ensure!(is_text(&message, &path), "{name} has no text at {path:?}");
        }
        let source = field("source")
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default();
        anyhow::ensure!(!source.is_empty(), "{name} says not which service tells it");
        let stream = match carriage.name() {
            "EVENT_CARRIAGE_PUBLIC" | "EVENT_CARRIAGE_BATCH" => "Events",
            "EVENT_CARRIAGE_PIPELINE" => "Pipeline",
            _ => continue,
        };
        let path = name.trim_start_matches("devsignal.").replace('.', "::");
        lines.push(format!("    crate::{path} => {kind:?}, {stream}, {source:?};\n"));
    }
    lines.sort();
    Ok(format!("bus_events! {{\n{}}}\n", lines.concat()))
}

/// Whether the path leads to a field of text.
fn is_text(message: &MessageDescriptor, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    match (message.get_field_by_name(first).map(|field| field.kind()), rest) {
        (Some(Kind::String), None) => true,
        (Some(Kind::Message(below)), Some(rest)) => is_text(&below, rest),
        _ => false,
    }
}

fn client_streaming(set: &FileDescriptorSet) -> Vec<String> {
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let streamed = service.method.iter().filter(|m| m.client_streaming());
            methods.extend(streamed.map(|m| format!("/{}.{}/{}", file.package(), service.name(), m.name())));
        }
    }
    methods
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

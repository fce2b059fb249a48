//! Compiles `proto/` with a pure-Rust compiler: messages, gRPC stubs and the descriptor set.

use std::path::{Path, PathBuf};

use prost_types::FileDescriptorSet;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
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

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors)?;
    std::fs::write(out.join("streaming.rs"), format!("{:?}", client_streaming(&set)))?;
    // Bytes instead of Vec<u8>: bodies travel through the gateway without a copy.
    tonic_prost_build::configure()
        .bytes(".devsignal.signals.v1")
        .compile_fds(set)?;
    Ok(())
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

//! Compiles proto/ with protox, so that no protoc is needed on the machine.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = std::fs::read_dir("proto/liaison/v1")?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(files)?
        .encode_file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("liaison.descriptors"), &descriptors)?;

    let set = prost::Message::decode(descriptors.as_slice())?;
    tonic_prost_build::configure()
        .bytes(".")
        // Few entries of a feed have one, and very many entries are in memory at once.
        .boxed("liaison.v1.FeedEntry.consent_request")
        .boxed("liaison.v1.FeedEntry.consent")
        .compile_fds(set)?;
    Ok(())
}

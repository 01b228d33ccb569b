//! Compiles proto/ with protox, so that no protoc is needed on the machine, and lists its rpcs.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = std::fs::read_dir("proto/liaison/v1")?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    let descriptors = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("liaison.descriptors"), &descriptors)?;

    let (mut of_partners, mut of_clients) = (Vec::new(), Vec::new());
    for file in compiler.file_descriptor_set().file {
        for service in &file.service {
            // The one service of the partner port.
            let is_of_partners = service.name() == "ExchangeService";
            let rpcs = if is_of_partners { &mut of_partners } else { &mut of_clients };
            let name = |rpc: &str| format!("{}.{}/{rpc}", file.package(), service.name());
            rpcs.extend(service.method.iter().map(|method| name(method.name())));
        }
    }
    let lists = [("PARTNER_RPCS", "partner", of_partners), ("CLIENT_RPCS", "client", of_clients)];
    let lists = lists.map(|(list, port, rpcs)| {
        format!(
            "/// Every rpc of the {port} port, in the order of the services.\n\
             pub const {list}: [&str; {}] = {rpcs:?};\n",
            rpcs.len(),
        )
    });
    std::fs::write(out.join("rpcs.rs"), lists.concat())?;

    let set = prost::Message::decode(descriptors.as_slice())?;
    tonic_prost_build::configure()
        .bytes(".")
        // Few entries of a feed have one, and very many entries are in memory at once.
        .boxed("liaison.v1.FeedEntry.consent_request")
        .boxed("liaison.v1.FeedEntry.consent")
        .compile_fds(set)?;
    Ok(())
}

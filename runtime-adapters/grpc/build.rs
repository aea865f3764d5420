//! Compiles the contract, without `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let root = Path::new("proto");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("factory/runtime/v1"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let compiled = PathBuf::from(env::var("OUT_DIR")?).join("factory.runtime.v1.binpb");
    fs::write(compiled, compiler.encode_file_descriptor_set())?;
    Ok(())
}

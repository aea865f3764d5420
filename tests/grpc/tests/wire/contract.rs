//! The contract against the catalogue.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost_reflect::DescriptorPool;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use runtime_api::catalogue::Catalogue;
use runtime_grpc::{FILE_DESCRIPTOR_SET, PACKAGE, Watch};

mod compatibility;
mod model;
mod write;

use compatibility::broken;

const FOLDER: &str = "factory/runtime/v1";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime-adapters/grpc/proto").join(FOLDER)
}

/// The files as they are committed.
fn committed() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "proto"));
    let named = |path: PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
    };
    files.map(named).collect()
}

/// Files that lie nowhere.
struct Written(BTreeMap<String, String>);

impl FileResolver for Written {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let short = name.rsplit('/').next().unwrap();
        match self.0.get(short) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn compiled(files: &BTreeMap<String, String>) -> DescriptorPool {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Written(files.clone()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    for name in files.keys() {
        compiler.open_file(format!("{FOLDER}/{name}")).unwrap();
    }
    compiler.descriptor_pool()
}

/// One file of one message, as it would be compiled.
fn of(body: &str) -> DescriptorPool {
    let text = format!("syntax = \"proto3\"; package {PACKAGE}; {body}");
    compiled(&BTreeMap::from([("it.proto".to_owned(), text)]))
}

/// Each operation has its method and each field its field, of the same type and with its words, and there is nothing else: the files are
/// what the catalogue makes of them, with the numbers that they have.
#[test]
fn the_contract_is_the_catalogues() {
    let committed = committed();
    let before = compiled(&committed);
    let model = model::model(&Catalogue::new());
    let written = write::files(&model, &before);
    let breaks = broken(&before, &compiled(&written));
    assert_eq!(breaks, Vec::<String>::new(), "clients of the contract would break");
    if std::env::var_os("UPDATE_PROTO").is_some() {
        for name in committed.keys().filter(|name| !written.contains_key(*name)) {
            fs::remove_file(folder().join(name)).unwrap();
        }
        for (name, text) in &written {
            fs::write(folder().join(name), text).unwrap();
        }
        return;
    }
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&written), "write the contract anew: UPDATE_PROTO=1");
    for (name, text) in &written {
        let differing = text.lines().zip(committed[name].lines()).find(|(new, old)| new != old);
        assert_eq!(differing, None, "{name}: write the contract anew: UPDATE_PROTO=1");
        assert_eq!(text.lines().count(), committed[name].lines().count(), "{name}: UPDATE_PROTO=1");
    }
}

/// By the descriptors that are served, not by the text.
#[test]
fn each_operation_has_its_method_and_nothing_else_has_one() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let mut methods = Vec::new();
    for service in services {
        methods.extend(service.methods().map(|method| format!("{}.{}", service.name(), method.name())));
    }
    methods.sort();
    let catalogue = Catalogue::new();
    let mut operations: Vec<String> =
        catalogue.operations().map(|operation| operation.descriptor().id()).collect();
    operations.extend(Watch::ALL.map(|watch| format!("{}.{}", watch.service(), watch.name())));
    operations.sort();
    assert_eq!(methods, operations);
}

#[test]
fn what_is_single_says_whether_it_is_there() {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let messages =
        pool.all_messages().filter(|message| message.package_name() == PACKAGE && !message.is_map_entry());
    for message in messages {
        for field in message.fields().filter(|field| !field.is_list() && !field.is_map()) {
            assert!(field.supports_presence(), "{}", field.full_name());
        }
    }
}

#[test]
fn a_change_that_breaks_clients_is_found() {
    let before = of("message It { optional string name = 1; optional uint32 size = 2; }");
    for (after, what) in [
        ("message It { optional string name = 1; }", "removed"),
        ("message It { reserved 2; optional string name = 1; }", "removed"),
        ("message It { optional string name = 1; optional uint64 size = 2; }", "was optional uint32"),
        ("message It { optional string name = 1; repeated uint32 size = 2; }", "repeated"),
        ("message It { optional string name = 1; uint32 size = 2; }", "was optional uint32"),
        ("message It { optional string name = 1; optional uint32 weight = 2; }", "used again"),
        ("message It { optional uint32 size = 1; optional string name = 2; }", "used again"),
    ] {
        let breaks = broken(&before, &of(after));
        assert!(breaks.iter().any(|line| line.contains(what)), "{after}: {breaks:?}");
    }
    for after in [
        "message It { reserved 2; reserved \"size\"; optional string name = 1; }",
        "message It { optional string name = 1; optional uint32 size = 2; optional bool new = 3; }",
    ] {
        assert_eq!(broken(&before, &of(after)), Vec::<String>::new(), "{after}");
    }
}

#[test]
fn a_number_that_was_reserved_stays_so() {
    let before = of("message It { reserved 2; reserved \"size\"; optional string name = 1; }");
    let after = of("message It { optional string name = 1; optional bool new = 2; }");
    assert!(broken(&before, &after).iter().any(|line| line.contains("not reserved any more")));
}

#[test]
fn a_method_that_goes_or_takes_something_else_is_found() {
    let it = "message It {} message Other {}";
    let before = of(&format!("{it} service S {{ rpc Do(It) returns (It); }}"));
    for after in [
        it.to_owned(),
        format!("{it} service S {{}}"),
        format!("{it} service S {{ rpc Do(Other) returns (It); }}"),
        format!("{it} service S {{ rpc Do(It) returns (stream It); }}"),
    ] {
        assert_ne!(broken(&before, &of(&after)), Vec::<String>::new(), "{after}");
    }
}

/// What is written anew keeps the numbers that are there, gives fresh ones, and reserves what went.
#[test]
fn numbers_stay_and_those_of_fields_that_went_are_reserved() {
    use model::{FieldModel, Kind, MessageModel, Model, Shape};
    let field =
        |json: &str| FieldModel { json: json.to_owned(), doc: String::new(), shape: Shape::One(Kind::Text) };
    let with = |fields: &[&str]| {
        let fields = fields.iter().map(|json| field(json)).collect();
        let message = MessageModel { doc: "It.".to_owned(), fields, is_choice: false };
        Model { messages: BTreeMap::from([("It".to_owned(), message)]), ..Model::default() }
    };
    let first = write::files(&with(&["gone", "stays"]), &of(""));
    let second = write::files(&with(&["added", "stays"]), &compiled(&first));
    let third = write::files(&with(&["added", "another", "stays"]), &compiled(&second));
    let pool = compiled(&third);
    let it = pool.get_message_by_name(&model::full("It")).unwrap();
    let numbers: BTreeMap<String, u32> =
        it.fields().map(|field| (field.name().to_owned(), field.number())).collect();
    let expected = [("added", 3), ("another", 4), ("stays", 2)];
    assert_eq!(numbers, expected.into_iter().map(|(name, number)| (name.to_owned(), number)).collect());
    assert_eq!(it.reserved_names().collect::<Vec<_>>(), ["gone"]);
    assert_eq!(broken(&compiled(&first), &pool), Vec::<String>::new());
}

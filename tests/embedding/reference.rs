//! The pages in `docs/reference` are generated from the code.
//!
//! `UPDATE_REFERENCE=1 cargo test --all-features --test embedding reference` writes them; without it, a page that is not what the code says is a failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use syn::{Expr, FnArg, ImplItem, Item, Pat, Visibility};

use crate::source::{documented, items_below, plain, root, type_name};
use options::options;
use refusals::refusals;

mod options;
mod refusals;

const GENERATED: &str = "Generated from the code by `UPDATE_REFERENCE=1 cargo test --all-features --test embedding reference`; do not edit.\n";

/// A context: its name, its service, the accessor of it, and where its domain is.
const CONTEXTS: [(&str, &str, &str, &str); 9] = [
    ("Environments", "EnvironmentService", "environments", "environment"),
    ("Deployments", "DeploymentService", "deployments", "deployment"),
    ("Inventory", "InventoryService", "inventory", "inventory"),
    ("Configuration", "ConfigurationService", "configuration", "configuration"),
    ("Secrets", "SecretService", "secrets", "secrets"),
    ("Tenancy", "TenancyService", "tenancy", "tenancy"),
    ("Health", "HealthService", "health", "health"),
    ("Scaling", "ScalingService", "scaling", "scaling"),
    ("Drift", "DriftService", "drift", "drift"),
];

/// What stands beside the nine: heading, service, accessor.
const BESIDE: [(&str, &str, &str); 3] = [
    ("Promotion", "PromotionService", "promotion"),
    ("Audit", "AuditService", "audit"),
    ("Relay of events", "RelayService", "relay"),
];

#[test]
fn the_page_of_commands_is_what_the_code_says() {
    kept("commands.md", &commands());
}

#[test]
fn the_page_of_events_is_what_the_code_says() {
    kept("events.md", &events());
}

#[test]
fn the_page_of_refusals_is_what_the_code_says() {
    kept("refusals.md", &refusals());
}

#[test]
fn the_page_of_options_is_what_the_code_says() {
    kept("options.md", &options());
}

fn kept(name: &str, page: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, page).expect("the page is written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/reference/{name} is not what the code says: run `UPDATE_REFERENCE=1 cargo test --all-features --test embedding reference`"
    );
}

/// A page under its heading.
fn page(heading: &str, introduction: &str) -> String {
    format!("# {heading}\n\n{GENERATED}\n{introduction}\n")
}

fn table<const COLUMNS: usize>(page: &mut String, heads: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) {
    writeln!(page, "\n| {} |\n|{}", heads.join(" | "), "---|".repeat(COLUMNS)).expect("text");
    for row in rows {
        writeln!(page, "| {} |", row.join(" | ")).expect("text");
    }
}

fn commands() -> String {
    let mut page = page(
        "Commands and queries",
        "What callers ask of the services of a `Runtime`, and what each aggregate can be asked. Every method takes the caller's scope; `preview` changes\n\
         nothing. What a refusal says is in [refusals](refusals.md).",
    );
    let services = items_below("runtime-services/src");
    for (heading, service, accessor, domain) in CONTEXTS {
        writeln!(page, "\n## {heading}\n\n`Runtime::{accessor}()`").expect("text");
        table(&mut page, ["method", "what it does", "fails where"], methods(&services, service));
        let rows: Vec<_> = items_below(&format!("runtime-domain/src/{domain}"))
            .iter()
            .filter_map(|item| match item {
                Item::Enum(found) if found.ident.to_string().ends_with("Command") => Some(found),
                _ => None,
            })
            .flat_map(|found| found.variants.iter())
            .map(|variant| [format!("`{}`", variant.ident), documented(&variant.attrs).0])
            .collect();
        if !rows.is_empty() {
            page.push_str("\nOf the aggregate:\n");
            table(&mut page, ["command", "what it asks"], rows);
        }
    }
    for (heading, service, accessor) in BESIDE {
        writeln!(page, "\n## {heading}\n\n`Runtime::{accessor}()`").expect("text");
        table(&mut page, ["method", "what it does", "fails where"], methods(&services, service));
    }
    page
}

/// The public methods of a service, as rows: signature, what it does, where it fails.
fn methods(items: &[Item], of: &str) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for item in items {
        let Item::Impl(found) = item else { continue };
        if found.trait_.is_some() || type_name(&found.self_ty).as_deref() != Some(of) {
            continue;
        }
        for member in &found.items {
            let ImplItem::Fn(method) = member else { continue };
            if !matches!(method.vis, Visibility::Public(_)) || method.sig.ident == "new" {
                continue;
            }
            let names = method.sig.inputs.iter().filter_map(|input| match input {
                FnArg::Typed(typed) => match &*typed.pat {
                    Pat::Ident(name) if name.ident != "scope" => Some(name.ident.to_string()),
                    _ => None,
                },
                FnArg::Receiver(_) => None,
            });
            let signature = format!("`{}({})`", method.sig.ident, names.collect::<Vec<_>>().join(", "));
            let (what, errors) = documented(&method.attrs);
            rows.push([signature, what, errors]);
        }
    }
    assert!(!rows.is_empty(), "{of} has public methods");
    rows
}

fn events() -> String {
    let mut page = page(
        "Events",
        "What happens to each aggregate, as its history tells it. Those with a version are published: they leave as CloudEvents 1.0 envelopes of the type\n\
         `factory.runtime.NAME.vVERSION`, in each aggregate's order, at least once. What their `data` holds is below, and as JSON Schema in\n\
         [`runtime-domain/schemas`](../../runtime-domain/schemas). A version that is published never changes in a way that its consumers notice.",
    );
    let schemas = schemas();
    for (heading, _, _, domain) in CONTEXTS {
        writeln!(page, "\n## {heading}").expect("text");
        let items = items_below(&format!("runtime-domain/src/{domain}"));
        let variants: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Enum(found) if found.ident.to_string().ends_with("Event") => Some(found),
                _ => None,
            })
            .flat_map(|found| found.variants.iter())
            .map(|variant| (variant.ident.to_string(), documented(&variant.attrs).0))
            .collect();
        let version = |name: &str| {
            let published = schemas.get(name);
            published.map(|(version, _)| format!("v{version}")).unwrap_or_default()
        };
        let rows = variants.iter().map(|(name, what)| [format!("`{name}`"), version(name), what.clone()]);
        table(&mut page, ["event", "published", "what happened"], rows.collect());
        for (name, _) in &variants {
            if let Some((version, schema)) = schemas.get(name.as_str()) {
                data(&mut page, name, *version, schema);
            }
        }
    }
    page
}

/// The newest committed schema of each published event.
fn schemas() -> BTreeMap<String, (u16, Value)> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(root().join("runtime-domain/schemas")).expect("the schemas") {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('.').collect();
        let [event, version, "json"] = parts.as_slice() else { panic!("{name} is no schema's name") };
        let version: u16 = version.trim_start_matches('v').parse().expect("a version");
        let schema: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("a schema")).expect("JSON");
        let newest = found.entry((*event).to_owned()).or_insert((version, Value::Null));
        if version >= newest.0 {
            *newest = (version, schema);
        }
    }
    found
}

fn data(page: &mut String, name: &str, version: u16, schema: &Value) {
    writeln!(page, "\n### {name} v{version}\n").expect("text");
    let file = format!("{name}.v{version}.json");
    writeln!(page, "[`{file}`](../../runtime-domain/schemas/{file})").expect("text");
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let sorted: BTreeMap<_, _> = properties.iter().collect();
    let rows = sorted.into_iter().map(|(property, of)| {
        let is_required = required.iter().any(|name| name.as_str() == Some(property));
        let description = of["description"].as_str().unwrap_or_default().replace('\n', " ");
        [
            format!("`{property}`"),
            shape(of),
            if is_required { "yes" } else { "no" }.to_owned(),
            plain(&description),
        ]
    });
    table(page, ["property", "type", "always there", "what it is"], rows.collect());
}

/// What a property is, in a word or two: its own type, or the name of what it refers to.
fn shape(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return format!("`{}`", reference.rsplit('/').next().unwrap_or(reference));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(several) = schema[key].as_array() {
            let several: Vec<String> = several.iter().map(shape).filter(|one| one != "null").collect();
            return several.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("array of {}", shape(&schema["items"])),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.collect::<Vec<_>>().join(" or ")
        }
        _ if schema["const"].is_string() => format!("`{}`", schema["const"].as_str().unwrap_or_default()),
        _ => "value".to_owned(),
    }
}

/// What a path, or the end of a block, names at last.
fn last_segment(body: &Expr) -> Option<String> {
    match body {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Block(block) => match block.block.stmts.last() {
            Some(syn::Stmt::Expr(last, _)) => last_segment(last),
            _ => None,
        },
        _ => None,
    }
}

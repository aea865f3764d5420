//! The page of options.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use syn::{Expr, Fields, ImplItem, Item, Lit, Visibility};

use super::{last_segment, methods, page, table};
use crate::source::{documented, items, items_below, type_name};

pub(super) fn options() -> String {
    let mut page = page("Options", "How hosts, stores and surfaces are set up.");
    let services = items_below("runtime-services/src");
    for (heading, introduction, name) in [
        (
            "Host",
            "`HostOptions`: begin with `HostOptions::default()` and change what should differ.",
            "HostOptions",
        ),
        ("Retention", "`HostOptions::retention`.", "Retention"),
    ] {
        writeln!(page, "\n## {heading}\n\n{introduction}").expect("text");
        let defaults = defaults(&services, name);
        let rows = fields(&services, name).into_iter().map(|(field, what)| {
            let default = defaults.get(&field).cloned().unwrap_or_default();
            [format!("`{field}`"), default, what]
        });
        table(&mut page, ["option", "default", "what it is"], rows.collect());
    }
    for (heading, introduction, file, of) in [
        ("Adapters of a host", "`Runtime::builder()`", "src/runtime.rs", "RuntimeBuilder"),
        ("Embedded default", "`EmbeddedOptions::new(folder)`", "src/embedded.rs", "EmbeddedOptions"),
        (
            "PostgreSQL",
            "`PostgresOptions::new(address)`",
            "runtime-adapters/postgres/src/options.rs",
            "PostgresOptions",
        ),
    ] {
        writeln!(page, "\n## {heading}\n\n{introduction}").expect("text");
        let rows = methods(&items(file), of).into_iter().map(|[method, what, _]| [method, what]);
        table(&mut page, ["method", "what it sets"], rows.collect());
    }
    for (heading, introduction, file, of) in [
        ("SQLite", "`SqliteOptions::default()`", "runtime-adapters/sqlite/src/options.rs", "SqliteOptions"),
        (
            "Processes",
            "`ProcessSurfaceOptions::new(root, registry, prober, clock, identifiers)`",
            "runtime-adapters/process/src/options.rs",
            "ProcessSurfaceOptions",
        ),
        (
            "Local vault",
            "`LocalVaultOptions::new(root, clock)`",
            "runtime-adapters/local-vault/src/options.rs",
            "LocalVaultOptions",
        ),
    ] {
        writeln!(page, "\n## {heading}\n\n{introduction}").expect("text");
        let found = fields(&items(file), of);
        let rows = found.into_iter().map(|(field, what)| [format!("`{field}`"), what]);
        table(&mut page, ["option", "what it is"], rows.collect());
    }
    page
}

/// The public fields of a struct, with what they are.
fn fields(items: &[Item], of: &str) -> Vec<(String, String)> {
    let found = items.iter().find_map(|item| match item {
        Item::Struct(found) if found.ident == of => Some(found),
        _ => None,
    });
    let Fields::Named(fields) = &found.unwrap_or_else(|| panic!("{of} is a struct")).fields else {
        panic!("{of} has named fields")
    };
    let public = fields.named.iter().filter(|field| matches!(field.vis, Visibility::Public(_)));
    let named = public.filter_map(|field| Some((field.ident.as_ref()?.to_string(), whole(&field.attrs))));
    named.collect()
}

/// A field's whole documentation.
fn whole(attributes: &[syn::Attribute]) -> String {
    documented(attributes).0
}

/// What `Default` gives each field, as people read it.
fn defaults(items: &[Item], of: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let bodies = items.iter().filter_map(|item| match item {
        Item::Impl(it) if type_name(&it.self_ty).as_deref() == Some(of) => {
            let is_default = it.trait_.as_ref().is_some_and(|(_, path, _)| path.is_ident("Default"));
            is_default.then_some(it)
        }
        _ => None,
    });
    for member in bodies.flat_map(|it| it.items.iter()) {
        let ImplItem::Fn(function) = member else { continue };
        let Some(syn::Stmt::Expr(Expr::Struct(made), _)) = function.block.stmts.last() else { continue };
        for field in &made.fields {
            if let syn::Member::Named(name) = &field.member {
                found.insert(name.to_string(), read(&field.expr));
            }
        }
    }
    found
}

/// A value as people read it: `15 s`, `16`, `/factory-runtime`.
fn read(value: &Expr) -> String {
    let number = |expression: Option<&Expr>| match expression {
        Some(Expr::Lit(it)) => match &it.lit {
            Lit::Int(number) => number.base10_digits().to_owned(),
            Lit::Str(text) => format!("`{}`", text.value()),
            _ => String::new(),
        },
        _ => String::new(),
    };
    match value {
        Expr::Call(call) => match last_segment(&call.func).as_deref() {
            Some("from_secs") => format!("{} s", number(call.args.first())),
            Some("from_millis") => format!("{} ms", number(call.args.first())),
            _ => "its own defaults".to_owned(),
        },
        // `DAY.times(30)`
        Expr::MethodCall(call) if call.method == "times" => format!("{} days", number(call.args.first())),
        Expr::MethodCall(call) => number(Some(&call.receiver)),
        other => number(Some(other)),
    }
}

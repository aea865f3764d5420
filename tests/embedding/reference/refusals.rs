//! The page of refusals.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use factory_runtime::domain::refusal::Rule;
use syn::{Expr, ImplItem, Item, ItemEnum, Lit, Pat};

use super::{last_segment, page, table};
use crate::source::{documented, items_below, plain, type_name};

/// What stands for the rule of a refusal that passes on another's.
const OF_THE_OTHER: &str = "of the other";

/// The arm of a `match` that takes every other variant.
const ANY_OTHER: &str = "_";

pub(super) fn refusals() -> String {
    let mut page = page(
        "Refusals",
        "A command that a rule forbids is refused, and nothing has changed. `CommandError::rule` names the rule and `CommandError::remedy` says what would be\n\
         legal; `{…}` stands for what is filled in. Where a refusal passes on another's, both are the other's.\n\n## Rules",
    );
    let rows = Rule::ALL.into_iter().map(|rule| [rule.number().to_owned(), rule.statement().to_owned()]);
    table(&mut page, ["rule", "what it says"], rows.collect());
    page.push_str("\n[INVARIANTS.md](../../INVARIANTS.md) says for each numbered rule where it is kept, and which tests show it.\n");
    let items = items_below("runtime-domain/src");
    let mut refusals: Vec<&ItemEnum> = items
        .iter()
        .filter_map(|item| match item {
            Item::Enum(found) if found.ident.to_string().ends_with("Refusal") => Some(found),
            _ => None,
        })
        .collect();
    refusals.sort_by_key(|found| found.ident.to_string());
    let numbers: BTreeMap<String, &str> =
        Rule::ALL.into_iter().map(|rule| (format!("{rule:?}"), rule.number())).collect();
    for refusal in refusals {
        let name = refusal.ident.to_string();
        let (rules, remedies) = (arms(&items, &name, "rule"), arms(&items, &name, "remedy"));
        if rules.is_empty() {
            continue;
        }
        writeln!(page, "\n## {name}\n\n{}", documented(&refusal.attrs).0).expect("text");
        let rows = refusal.variants.iter().map(|variant| {
            let name = variant.ident.to_string();
            let rule = rules.get(&name).or_else(|| rules.get(ANY_OTHER)).and_then(|body| last_segment(body));
            let rule = rule.and_then(|rule| numbers.get(&rule).copied()).unwrap_or(OF_THE_OTHER);
            let said = remedies.get(&name).map(|body| texts(body)).unwrap_or_default();
            let remedy = match rule {
                _ if !said.is_empty() => said.join("; or: "),
                OF_THE_OTHER => "as the other says".to_owned(),
                _ => "said with the refusal".to_owned(),
            };
            [format!("`{name}`"), rule.to_owned(), message(variant), plain(&remedy)]
        });
        table(&mut page, ["refusal", "rule", "what it says", "what would be legal"], rows.collect());
    }
    page
}

/// The text of a variant's `#[error("…")]`.
fn message(variant: &syn::Variant) -> String {
    let said = variant.attrs.iter().find(|attribute| attribute.path().is_ident("error"));
    let text = said.and_then(|attribute| {
        attribute
            .parse_args_with(|input: syn::parse::ParseStream<'_>| {
                let text: Option<syn::LitStr> = input.parse()?;
                let _rest: proc_macro2::TokenStream = input.parse()?;
                Ok(text.map(|text| text.value()))
            })
            .ok()
            .flatten()
    });
    text.map_or_else(|| documented(&variant.attrs).0, |text| plain(&text))
}

/// What a method says of each variant: the bodies of its outermost `match`, by variant.
fn arms<'i>(items: &'i [Item], of: &str, method: &str) -> BTreeMap<String, &'i Expr> {
    let mut found = BTreeMap::new();
    let bodies = items.iter().filter_map(|item| match item {
        Item::Impl(it) if it.trait_.is_some() && type_name(&it.self_ty).as_deref() == Some(of) => Some(it),
        _ => None,
    });
    for member in bodies.flat_map(|it| it.items.iter()) {
        let ImplItem::Fn(function) = member else { continue };
        if function.sig.ident != method {
            continue;
        }
        for arm in function.block.stmts.iter().filter_map(outermost).flat_map(|matched| &matched.arms) {
            for variant in variants(&arm.pat) {
                found.entry(variant).or_insert(&*arm.body);
            }
        }
    }
    found
}

/// The `match` that a statement is, begins with or keeps.
fn outermost(statement: &syn::Stmt) -> Option<&syn::ExprMatch> {
    fn within(expression: &Expr) -> Option<&syn::ExprMatch> {
        match expression {
            Expr::Match(matched) => Some(matched),
            Expr::MethodCall(call) => within(&call.receiver),
            Expr::Paren(inner) => within(&inner.expr),
            _ => None,
        }
    }
    match statement {
        syn::Stmt::Expr(expression, _) => within(expression),
        syn::Stmt::Local(local) => local.init.as_ref().and_then(|init| within(&init.expr)),
        _ => None,
    }
}

fn variants(pattern: &Pat) -> Vec<String> {
    let last = |path: &syn::Path| path.segments.last().map(|segment| segment.ident.to_string());
    match pattern {
        Pat::Or(several) => several.cases.iter().flat_map(variants).collect(),
        Pat::Path(it) => last(&it.path).into_iter().collect(),
        Pat::Struct(it) => last(&it.path).into_iter().collect(),
        Pat::TupleStruct(it) => last(&it.path).into_iter().collect(),
        Pat::Wild(_) => vec![ANY_OTHER.to_owned()],
        _ => Vec::new(),
    }
}

/// Every text that an expression may come to.
fn texts(body: &Expr) -> Vec<String> {
    match body {
        Expr::Lit(it) => match &it.lit {
            Lit::Str(text) => vec![text.value()],
            _ => Vec::new(),
        },
        Expr::MethodCall(call) => texts(&call.receiver),
        Expr::Paren(it) => texts(&it.expr),
        Expr::Return(it) => it.expr.iter().flat_map(|said| texts(said)).collect(),
        Expr::Reference(it) => texts(&it.expr),
        Expr::Block(it) => it.block.stmts.iter().flat_map(statement_texts).collect(),
        Expr::Match(it) => it.arms.iter().flat_map(|arm| texts(&arm.body)).collect(),
        Expr::If(it) => {
            let mut said: Vec<String> = it.then_branch.stmts.iter().flat_map(statement_texts).collect();
            said.extend(it.else_branch.iter().flat_map(|(_, other)| texts(other)));
            said
        }
        Expr::Macro(it) => it
            .mac
            .parse_body_with(|input: syn::parse::ParseStream<'_>| {
                let text: syn::LitStr = input.parse()?;
                let _rest: proc_macro2::TokenStream = input.parse()?;
                Ok(text.value())
            })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

fn statement_texts(statement: &syn::Stmt) -> Vec<String> {
    match statement {
        syn::Stmt::Expr(last, _) => texts(last),
        syn::Stmt::Macro(it) => it
            .mac
            .parse_body_with(|input: syn::parse::ParseStream<'_>| {
                let text: syn::LitStr = input.parse()?;
                let _rest: proc_macro2::TokenStream = input.parse()?;
                Ok(text.value())
            })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

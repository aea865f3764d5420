//! Schemas of the types that write themselves as a text of their own form.

use alloc::borrow::Cow;
use alloc::format;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::id::{Id, IdKind};
use crate::schedule::Schedule;
use crate::time::Span;
use crate::value::Measure;

impl<K: IdKind> JsonSchema for Id<K> {
    fn schema_name() -> Cow<'static, str> {
        format!("Id_{}", K::PREFIX).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": K::NAME,
            "pattern": format!("^{}_[0-9a-f]{{32}}$", K::PREFIX),
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time with units, largest first: `1h30m`, `45s`, `250ms`. At most 36500 days.",
            "pattern": "^([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$",
            "minLength": 2,
        })
    }
}

impl JsonSchema for Measure {
    fn schema_name() -> Cow<'static, str> {
        "Measure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An exact decimal number with at most six decimal places.",
            "pattern": "^-?[0-9]{1,12}(\\.[0-9]{1,6})?$",
        })
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A period (`every 30d`), or a cron expression with a time zone (`0 3 * * 0 Europe/Berlin`).",
        })
    }
}

//! The examples of the CloudEvents JSON format 1.0, each as an event of this platform: the attributes that a canonical envelope needs stand
//! in for `com.example.someevent` and its id, and all else is as the example has it. Where this reader is stricter, it says why.

use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Envelope, EnvelopeError, read, structured};
use crate::envelope::UncheckedEnvelope;

/// What every example has, its data aside.
fn example(data: Value) -> Value {
    let mut event = structured();
    let fields = event.as_object_mut().unwrap();
    for optional in ["data", "datacontenttype", "dataschema", "causationid", "traceparent"] {
        fields.remove(optional);
    }
    fields.insert("source".into(), json!("/mycontext"));
    fields.insert("time".into(), json!("2018-04-05T17:31:00Z"));
    fields.insert("comexampleextension1".into(), json!("value"));
    fields.insert("comexampleothervalue".into(), json!(5));
    fields.extend(data.as_object().unwrap().clone());
    event
}

fn binary() -> Value {
    json!({ "datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": "AAECAw==" })
}

fn xml() -> Value {
    json!({ "unsetextension": null, "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>" })
}

fn object() -> Value {
    json!({ "datacontenttype": "application/json", "data": { "appinfoA": "abc", "appinfoB": 123, "appinfoC": true } })
}

/// Shows X-14.
#[test]
fn data_that_is_an_object_is_read_as_it_stands() {
    let envelope = read(example(object())).unwrap();
    assert_eq!(envelope.source.as_str(), "/mycontext");
    assert_eq!(envelope.time.to_rfc3339(), "2018-04-05T17:31:00+00:00");
    assert_eq!(envelope.data, object()["data"]);
}

#[test]
fn data_that_is_a_text_is_not_read_a_second_time() {
    for text in ["I'm just a string", "{\"no\": \"object\"}", "null", ""] {
        let envelope = read(example(json!({ "data": text }))).unwrap();
        assert_eq!(envelope.data, json!(text));
        let written = serde_json::to_value(&envelope).unwrap();
        assert_eq!(written["datacontenttype"], "application/json", "what was implied is said on writing");
        assert_eq!(written["data"], json!(text));
    }
}

#[test]
fn any_media_type_whose_subtype_is_json_declares_json() {
    for media in [
        "application/json",
        "text/json",
        "application/vnd.example+json",
        "Application/JSON; charset=utf-8",
        "application/problem+json;q=1",
    ] {
        let mut event = example(object());
        event["datacontenttype"] = json!(media);
        assert!(read(event).is_ok(), "{media}");
    }
    for media in
        ["json", "/json", "application/", "application/jsonx", "application/json/more", "text/+json", ""]
    {
        let mut event = example(object());
        event["datacontenttype"] = json!(media);
        let refused = read(event);
        let is_named = matches!(refused, Err(EnvelopeError::Illegal { attribute: "datacontenttype", .. }));
        assert!(is_named, "{media}: {refused:?}");
    }
}

#[test]
fn an_event_whose_data_is_not_json_is_no_event_of_this_platform() {
    assert_eq!(read(example(binary())), Err(EnvelopeError::BinaryData));
    let refused = read(example(xml())).unwrap_err();
    assert!(matches!(refused, EnvelopeError::Illegal { attribute: "datacontenttype", .. }), "{refused}");
}

#[test]
fn an_event_of_somebody_else_is_refused_for_what_it_lacks() {
    let foreign = json!({
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "subject": null, "id": "C234-1234-1234",
        "time": "2018-04-05T17:31:00Z", "datacontenttype": "application/json", "data": {},
    });
    let refused = read(foreign).unwrap_err();
    assert!(matches!(refused, EnvelopeError::Illegal { attribute: "id", .. }), "{refused}");
}

#[test]
fn a_batch_is_an_array_and_an_empty_one_is_a_batch() {
    assert_eq!(serde_json::from_str::<Vec<Envelope<Value>>>("[]").unwrap(), []);
    let batch = json!([example(object()), example(json!({ "data": "I'm just a string" }))]);
    let read = serde_json::from_value::<Vec<Envelope<Value>>>(batch).unwrap();
    assert_eq!(read.len(), 2);
    // One event that is refused does not cost the others: each may be judged by itself.
    let mixed = json!([example(binary()), example(object())]).to_string();
    let each: Vec<UncheckedEnvelope<Value>> = serde_json::from_str(&mixed).unwrap();
    let each: Vec<_> = each.into_iter().map(Envelope::try_from).map(|one| one.is_ok()).collect();
    assert_eq!(each, [false, true]);
}

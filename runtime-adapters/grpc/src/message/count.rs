//! How much a message holds, counted on the wire before anything is built of it: two bytes of an empty part become hundreds in memory.

use prost_reflect::{Kind, MessageDescriptor};

/// Whether a message has more fields than this, those of its parts and the items of its lists included. Bytes that are no message end the
/// count: who reads them says so.
pub(super) fn has_more_fields(of: &MessageDescriptor, message: &[u8], most: usize) -> bool {
    let mut count = 0;
    let mut waiting = vec![(of.clone(), message)];
    while let Some((of, mut rest)) = waiting.pop() {
        while let Some((number, content)) = field(&mut rest) {
            let known = of.get_field(number);
            count += match (known.as_ref().map(|field| field.kind()), content) {
                (Some(Kind::Message(part)), Some(content)) => {
                    waiting.push((part, content));
                    1
                }
                // Numbers in a list lie packed, at least a byte each.
                (Some(Kind::String | Kind::Bytes) | None, _) | (_, None) => 1,
                (Some(_), Some(content)) => content.len(),
            };
            if count > most {
                return true;
            }
        }
    }
    false
}

/// The next field: its number, and its content where that has a length. `None` at the end, and where these are no fields.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let key = varint(rest)?;
    let number = u32::try_from(key >> 3).ok()?;
    let content = match key & 7 {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            skipped(rest, 8)?;
            None
        }
        2 => {
            let length = varint(rest)?;
            Some(skipped(rest, usize::try_from(length).ok()?)?)
        }
        // A group begins or ends: what is between are fields.
        3 | 4 => None,
        5 => {
            skipped(rest, 4)?;
            None
        }
        _ => return None,
    };
    Some((number, content))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn skipped<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(content)
}

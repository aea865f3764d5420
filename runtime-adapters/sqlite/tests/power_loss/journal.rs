//! What a process did to its files, in order: the recorder's journal.

/// One thing that was done to a file, or to the folder, which is called `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Created {
        name: String,
    },
    Written {
        name: String,
        offset: usize,
        data: Vec<u8>,
    },
    Cut {
        name: String,
        length: usize,
    },
    Removed {
        name: String,
    },
    Synced {
        name: String,
    },
    /// The process told the world that the aggregate with this number is at this revision.
    Acknowledged {
        number: u64,
        revision: u64,
    },
}

/// The file into which acknowledgements are written: two numbers of 8 bytes.
pub const ACKNOWLEDGED: &str = "acknowledged";

/// Reads the journal, from its beginning to its end.
pub fn read(mut rest: &[u8]) -> Vec<Operation> {
    let mut operations = Vec::new();
    while !rest.is_empty() {
        let kind = rest[0];
        let name_length = usize::from(rest[1]);
        let offset = number(&rest[2..10]);
        let data_length = number(&rest[10..18]);
        let name = String::from_utf8(rest[18..18 + name_length].to_vec()).unwrap();
        rest = &rest[18 + name_length..];
        let data = if kind == b'w' { rest[..data_length].to_vec() } else { Vec::new() };
        rest = &rest[data.len()..];
        operations.extend(operation(kind, name, offset, data));
    }
    operations
}

fn operation(kind: u8, name: String, offset: usize, data: Vec<u8>) -> Option<Operation> {
    if name == ACKNOWLEDGED {
        let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
        return (kind == b'w')
            .then(|| Operation::Acknowledged { number: number(&data[..8]), revision: number(&data[8..]) });
    }
    Some(match kind {
        b'c' => Operation::Created { name },
        b'w' => Operation::Written { name, offset, data },
        b't' => Operation::Cut { name, length: offset },
        b'u' => Operation::Removed { name },
        b's' => Operation::Synced { name },
        other => panic!("the recorder wrote {other}"),
    })
}

fn number(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_ne_bytes(bytes.try_into().unwrap())).unwrap()
}

//! A disk that loses its power: what was not synced may be there, or not, or in part.
//!
//! A file's sync keeps its content and length, not its name: that is the folder's. Of what came after the last sync, any of the changes may have
//! reached the disk, whatever their order, and of a write any of its sectors. That is more than real disks do.

use std::collections::BTreeMap;

use crate::journal::Operation;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub struct Disk {
    /// Files by their number; a name that is removed and created again is another file.
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// Changes of names since the folder was synced.
    unsynced_names: Vec<(String, Option<usize>)>,
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Cut { length: usize },
}

/// What the power's loss spares of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spares {
    Nothing,
    Everything,
    /// Each change with this chance in 256, and torn writes.
    Some(u8),
}

impl Disk {
    pub fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Created { name } => {
                self.files.push(File::default());
                self.rename(name, Some(self.files.len() - 1));
            }
            Operation::Removed { name } => self.rename(name, None),
            Operation::Written { name, offset, data } => {
                self.file(name).unsynced.push(Change::Write { offset: *offset, data: data.clone() });
            }
            Operation::Cut { name, length } => {
                self.file(name).unsynced.push(Change::Cut { length: *length });
            }
            Operation::Synced { name } if name == "." => {
                self.synced_names = self.names.clone();
                self.unsynced_names.clear();
            }
            Operation::Synced { name } => {
                let file = self.file(name);
                for change in std::mem::take(&mut file.unsynced) {
                    change.apply(&mut file.synced, |_| true);
                }
            }
            Operation::Acknowledged { .. } => {}
        }
    }

    fn rename(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.unsynced_names.push((name.to_owned(), file));
    }

    fn file(&mut self, name: &str) -> &mut File {
        &mut self.files[self.names[name]]
    }

    /// The files that are found when the power is back.
    pub fn image(&self, spares: Spares, chance: &mut Chance) -> BTreeMap<String, Vec<u8>> {
        let mut names = self.synced_names.clone();
        for (name, file) in &self.unsynced_names {
            if chance.spares(spares) {
                match file {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].image(spares, chance))).collect()
    }
}

impl File {
    fn image(&self, spares: Spares, chance: &mut Chance) -> Vec<u8> {
        let mut content = self.synced.clone();
        for change in &self.unsynced {
            if chance.spares(spares) {
                // One write in four is torn.
                let torn = matches!(spares, Spares::Some(_)) && chance.next().is_multiple_of(4);
                change.apply(&mut content, |_| !torn || chance.next().is_multiple_of(2));
            }
        }
        content
    }
}

impl Change {
    /// Applies it, of a write those sectors that reached the disk.
    fn apply(&self, content: &mut Vec<u8>, mut reached: impl FnMut(usize) -> bool) {
        match self {
            Self::Cut { length } => content.resize(*length, 0),
            Self::Write { offset, data } => {
                let mut begin = 0;
                while begin < data.len() {
                    let at = offset + begin;
                    let end = data.len().min(begin + SECTOR - at % SECTOR);
                    if reached(at / SECTOR) {
                        if content.len() < offset + end {
                            content.resize(offset + end, 0);
                        }
                        content[at..offset + end].copy_from_slice(&data[begin..end]);
                    }
                    begin = end;
                }
            }
        }
    }
}

/// Chance that is the same in every run (splitmix64).
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64)).unwrap()
    }

    fn spares(&mut self, spares: Spares) -> bool {
        match spares {
            Spares::Nothing => false,
            Spares::Everything => true,
            Spares::Some(chance) => self.next() % 256 < u64::from(chance),
        }
    }
}

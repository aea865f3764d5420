//! Knocks at every door with what is kept, and with what becomes of it by chance.
//!
//! `FUZZ_SECONDS=60` goes on at each door for so long. Chance begins where `FACTORY_RUNTIME_FUZZ_SEED` says, else anew. An input by which something
//! does not hold is written to `fuzz/artifacts`, and belongs into `fuzz/corpus` with the mend. `UPDATE_SEEDS=1` writes the seeds anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test calls is a test too")]
#![allow(clippy::print_stdout, reason = "how much was tried is for whoever asks with `--nocapture`")]

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use factory_runtime_fuzz::{TARGETS, Target};

use crate::mutation::Chance;

mod mutation;
mod seeds;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name)
}

/// The files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn knocked(target: &Target, input: &[u8]) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| (target.knock)(input))).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panics").to_owned()
    })
}

/// Knocks with all that is kept, then with so many changes of it, or for so long.
fn hold(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let kept: Vec<PathBuf> =
        ["seeds", "corpus"].iter().flat_map(|kind| files(&folder(kind).join(name))).collect();
    let inputs: Vec<Vec<u8>> = kept.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut let_in = 0;
    for (file, input) in kept.iter().zip(&inputs) {
        let is_let_in = knocked(target, input).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let_in += usize::from(is_let_in);
    }
    assert!(let_in > 0, "{name} lets nothing in that is kept: nothing is shown behind the door");
    // What stories store and publish is legal.
    let is_stored = name.starts_with("record_") || name.starts_with("envelope");
    let seeds = files(&folder("seeds").join(name)).len();
    assert!(!is_stored || let_in >= seeds, "{name} lets in {let_in}, and there are {seeds} legal seeds");
    let named = std::env::var("FACTORY_RUNTIME_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let fresh = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let seed: u64 = named.unwrap_or_else(fresh);
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let (begun, long) = (Instant::now(), seconds.map(Duration::from_secs));
    let mut chance = Chance::of(seed, name);
    let (mut rounds, mut changed_let_in) = (0, 0);
    while long.map_or(rounds < target.rounds, |long| begun.elapsed() < long) {
        rounds += 1;
        let input = chance.mutated(&inputs);
        let knocked = knocked(target, &input);
        changed_let_in += u32::from(knocked == Ok(true));
        if let Err(why) = knocked {
            let artifacts = folder("artifacts").join(name);
            fs::create_dir_all(&artifacts).unwrap();
            let file = artifacts.join(format!("seed-{seed}-round-{rounds}"));
            fs::write(&file, &input).unwrap();
            panic!("{}: {why}\n{}", file.display(), input.escape_ascii());
        }
    }
    let (kept, took) = (inputs.len(), begun.elapsed());
    println!(
        "{name}: {let_in} of {kept} kept and {changed_let_in} of {rounds} changed let in, {took:?}, seed {seed}"
    );
}

#[test]
fn layers_of_images_lead_nowhere_outside() {
    hold("archive");
}

#[test]
fn any_body_is_carried_out_or_refused_with_a_reason() {
    hold("body");
}

#[test]
fn documents_of_a_configuration_have_one_normal_form() {
    hold("configuration_json");
}

#[test]
fn keys_and_values_of_a_configuration_are_written_as_they_are_read() {
    hold("configuration_key");
}

/// Shows X-14.
#[test]
fn any_envelope_is_refused_or_the_same_in_every_mode() {
    hold("envelope");
    hold("envelope_binary");
}

#[test]
fn references_to_images_print_as_they_parse() {
    hold("image_reference");
}

#[test]
fn what_is_compared_for_drift_is_normalised_once() {
    hold("normaliser");
}

/// Shows X-12.
#[test]
fn no_address_is_probed_that_was_not_granted() {
    hold("probe_url");
}

#[test]
fn stored_environments_are_believed_only_where_they_are_legal() {
    hold("record_environment");
}

#[test]
fn stored_deployments_are_believed_only_where_they_are_legal() {
    hold("record_deployment");
}

#[test]
fn stored_services_are_believed_only_where_they_are_legal() {
    hold("record_inventory");
}

#[test]
fn stored_configurations_are_believed_only_where_they_are_legal() {
    hold("record_configuration");
}

#[test]
fn stored_secret_bindings_are_believed_only_where_they_are_legal() {
    hold("record_secrets");
}

#[test]
fn stored_tenant_bindings_are_believed_only_where_they_are_legal() {
    hold("record_tenancy");
}

#[test]
fn stored_health_results_are_believed_only_where_they_are_legal() {
    hold("record_health");
}

#[test]
fn stored_scaling_policies_are_believed_only_where_they_are_legal() {
    hold("record_scaling");
}

#[test]
fn stored_drift_findings_and_watches_are_believed_only_where_they_are_legal() {
    hold("record_drift");
    hold("record_drift_watch");
}

#[test]
fn any_request_is_answered_or_refused_with_a_problem() {
    hold("terms");
}

/// Shows X-1.
#[test]
fn nobody_is_let_in_by_what_an_issuer_did_not_sign() {
    hold("token");
}

#[test]
fn every_text_that_has_a_form_prints_as_it_parses() {
    hold("words");
}

#[test]
fn every_door_has_a_target_seeds_and_a_test_and_nothing_else_is_kept() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len());
    let stems = |name: &str| -> BTreeSet<String> {
        files(&folder(name))
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("seeds"), names);
    assert!(stems("corpus").is_subset(&names), "{:?}", stems("corpus"));
    let tests = include_str!("main.rs");
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in names {
        assert!(tests.contains(&format!("hold(\"{name}\")")), "{name} is not tried");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary for libFuzzer");
        let target = fs::read_to_string(folder("fuzz_targets").join(&name).with_extension("rs")).unwrap();
        assert!(target.contains(&format!("factory_runtime_fuzz::{name}(data)")), "{name} knocks elsewhere");
        let kept = ["seeds", "corpus"].iter().flat_map(|kind| files(&folder(kind).join(&name)));
        let bytes: u64 = kept.map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(bytes <= 256 * 1_024, "{name} keeps {bytes} bytes: minimise it");
    }
}

#[test]
fn the_seeds_are_made_of_what_is_there_now() {
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    for target in TARGETS {
        let (folder, seeds) = (folder("seeds").join(target.name), seeds::of(target.name));
        if update {
            fs::create_dir_all(&folder).unwrap();
            let is_known = |file: &PathBuf| seeds.contains_key(file.file_name().unwrap().to_str().unwrap());
            files(&folder)
                .iter()
                .filter(|file| !is_known(file))
                .for_each(|file| fs::remove_file(file).unwrap());
            for (name, seed) in &seeds {
                let there = fs::read(folder.join(name)).ok();
                if there.is_none_or(|there| settled(&there) != settled(seed)) {
                    fs::write(folder.join(name), seed).unwrap();
                }
            }
        }
        let read = |file: &PathBuf| {
            (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap())
        };
        let there: Vec<(String, Vec<u8>)> = files(&folder).iter().map(read).collect();
        let settled = |(name, seed): (String, Vec<u8>)| (name, settled(&seed));
        let there: Vec<_> = there.into_iter().map(settled).collect();
        assert!(
            !there.is_empty() && there == seeds.into_iter().map(settled).collect::<Vec<_>>(),
            "{}: run with UPDATE_SEEDS=1",
            target.name
        );
    }
}

/// A seed with the fields of its documents in one order: which they are written in hangs on what else is built beside this.
fn settled(seed: &[u8]) -> Vec<u8> {
    let line = |line: &[u8]| match serde_json::from_slice::<serde_json::Value>(line) {
        Ok(mut document) => {
            document.sort_all_objects();
            serde_json::to_vec(&document).unwrap()
        }
        Err(_) => line.to_vec(),
    };
    seed.split(|byte| *byte == b'\n').map(line).collect::<Vec<_>>().join(&b'\n')
}

#[test]
fn chance_is_the_same_for_the_same_seed_and_changes_what_is_kept() {
    let kept = vec![b"{\"a\": [1, 2]}".to_vec(), b"GET /x".to_vec()];
    let made = |seed| {
        let mut chance = Chance::of(seed, "any");
        (0..200).map(|_| chance.mutated(&kept)).collect::<Vec<_>>()
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
    let made: BTreeSet<Vec<u8>> = made(1).into_iter().collect();
    assert!(made.len() > 150, "{} of 200 differ", made.len());
    assert!(made.contains(&Vec::new()) || made.iter().any(|input| input.len() < 4), "inputs get short");
    assert!(made.iter().any(|input| input.len() > 20), "inputs get long");
}

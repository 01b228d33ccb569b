//! Files that people and other programs leave in a node's directory: remarks, and nothing that fails.

use super::fixtures::{Node, POLICY};
use super::tests::verified;
use super::*;
use crate::audit::Check;
use crate::testkit::Agency;

fn node() -> Node {
    let mut node = Node::new();
    node.submit(0..2);
    node
}

/// The names of foreign files in a report on a sound history.
fn foreign(node: &Node) -> Vec<String> {
    let report = verified(node);
    assert_eq!(report.failure, None);
    let named = report.remarks.into_iter().filter_map(|remark| match remark {
        Remark::ForeignFile { name } => Some(name),
        _ => None,
    });
    named.collect()
}

#[test]
fn what_was_saved_in_a_nodes_directory_makes_it_no_export_and_no_part() {
    let node = node();
    assert_eq!(foreign(&node), Vec::<String>::new());
    for (name, is_folder) in [(CHECKPOINT, false), (exported::TILES, true), (MANIFEST, false)] {
        let path = node.path().join(name);
        if is_folder {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, &node.journal.view().snapshot().note).unwrap();
        }
        assert_eq!(foreign(&node), [name]);
        if is_folder {
            std::fs::remove_dir(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_file_beside_those_of_a_policy_is_a_remark_and_an_altered_one_a_failure() {
    let node = node();
    let bundles = node.path().join("policies");
    let bundle = std::fs::read_dir(&bundles).unwrap().next().unwrap().unwrap().path();
    let hash = bundle.file_name().unwrap().to_string_lossy().into_owned();
    let named = |name: &str| format!("policies/{hash}/{name}");
    for name in ["._sharing.cedar", "sharing (copy).cedar", "sharing-copy.cedar"] {
        std::fs::write(bundle.join(name), POLICY).unwrap();
        assert_eq!(foreign(&node), [named(name)]);
        std::fs::remove_file(bundle.join(name)).unwrap();
    }
    std::fs::write(bundle.join("sharing.cedar"), format!("{POLICY} ")).unwrap();
    assert_eq!(verified(&node).failure.unwrap().fault.check, Check::PolicyFiles);
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_files_keeps_no_audit_waiting() {
    let node = node();
    let bundle = std::fs::read_dir(node.path().join("policies")).unwrap().next().unwrap().unwrap();
    let out = node.path().join("export");
    crate::cli::commands::audit::export::export(node.path(), &out, &false.into()).unwrap();
    let piped = |path: &Path| {
        drop(std::fs::remove_file(path));
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    piped(&bundle.path().join("a.cedar"));
    piped(&node.path().join("card.txt"));
    piped(&node.path().join("store/feed-9.leaves"));
    let report = verified(&node);
    assert_eq!(report.failure, None);
    assert!(report.remarks.contains(&Remark::NoCardFile));
    piped(&out.join(CHECKPOINT));
    let report = verify_directory(&out, &AuditOptions::default()).unwrap();
    assert_eq!(report.failure.unwrap().fault.check, Check::ExportFile);
}

#[test]
fn a_card_file_that_is_not_a_card_of_the_agency_is_a_remark_and_one_of_another_identity_fails() {
    let node = node();
    let path = node.path().join("card.txt");
    let (own, partner) = (Agency::own().card(), Agency::partner().card().to_armour().unwrap());
    let text = own.to_armour().unwrap();
    let mail = format!("Dear colleagues,\n\n{text}\nRegards");
    for file in ["", "no card", &format!("\u{feff}{text}"), &mail, &partner] {
        std::fs::write(&path, file).unwrap();
        let report = verified(&node);
        assert_eq!(report.failure, None, "{file:?}");
        let names: Vec<_> = report.remarks.iter().map(Remark::name).collect();
        assert!(names.contains(&"card_file_unusable"), "{file:?}: {names:?}");
        assert!(!names.contains(&"no_card_file"), "{file:?}: {names:?}");
    }
    let stranger = Agency::stranger().key(crate::partner::Role::Identity);
    let mut card = own.card().clone();
    card.identity_key = *stranger.public();
    std::fs::write(&path, card.seal(&stranger).unwrap().to_armour().unwrap()).unwrap();
    assert_eq!(verified(&node).failure.unwrap().fault.check, Check::OwnCard);
    std::fs::remove_file(&path).unwrap();
    assert!(verified(&node).remarks.contains(&Remark::NoCardFile));
}

#[test]
fn a_text_beside_the_leaf_files_of_a_store_shows_no_loss() {
    let node = node();
    for name in ["notes.leaves", "journal-old.leaves", "feed-a.leaves"] {
        std::fs::write(node.path().join("store").join(name), [b'x'; 400]).unwrap();
    }
    assert_eq!(verified(&node).failure, None);
    std::fs::write(node.path().join("store/feed-1.leaves"), [b'x'; 400]).unwrap();
    assert!(verified(&node).failure.is_some());
}

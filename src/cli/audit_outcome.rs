//! The result of an audit as it ends a command, and the next step.

use super::audit_store::AuditError;
use super::context::Context;
use super::error::{AGAIN_AS_BINARY, CliError, Exit};
use crate::audit::{Check, Fault, Report};

pub(super) fn show(report: &Report, context: &Context) -> Result<(), CliError> {
    context.output.either(report.to_json(), || report.to_string().trim_end().to_owned())?;
    outcome(report)
}

/// Returns the result of the command for a report.
pub(super) fn outcome(report: &Report) -> Result<(), CliError> {
    match (&report.failure, &report.unusable) {
        (Some(failure), _) => Err(refused(&failure.fault, failure.to_string())),
        (None, Some(why)) => Err(CliError::usage(
            format!("the history holds; the checkpoint with --checkpoint was not compared: {why}"),
            "give a checkpoint that this agency signed, or leave --checkpoint away",
        )),
        (None, None) => Ok(()),
    }
}

/// The error of a failed check. Whoever named another identity than that of the history has the wrong
/// number or the wrong history; nothing that was signed contradicts itself.
pub(super) fn refused(fault: &Fault, found: String) -> CliError {
    if fault.check == Check::Quorum {
        return CliError::Other {
            doing: fault.check.to_string(),
            exit: Exit::VerificationFailed,
            fix:
                "ask the agency for cosignatures of more witnesses, or ask for fewer with --quorum"
                    .to_owned(),
            source: Box::new(fault.clone()),
        };
    }
    if fault.check == Check::LineEnds {
        return CliError::LineEnds { found };
    }
    if fault.check != Check::Identity {
        return CliError::Verification { found };
    }
    CliError::Other {
        doing: fault.check.to_string(),
        exit: Exit::Untrusted,
        fix: "compare the number again with the agency over a second channel; if yours is right, this \
              is another's"
            .to_owned(),
        source: Box::new(fault.clone()),
    }
}

pub(super) fn unreadable(error: AuditError) -> CliError {
    if let AuditError::LineEnds(_) = error {
        return CliError::usage(error.to_string(), AGAIN_AS_BINARY);
    }
    if let AuditError::Number(_) | AuditError::Card { .. } | AuditError::Checkpoint { .. } = error {
        let found = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        return CliError::usage(found, "give the number, card or checkpoint of the agency");
    }
    if let AuditError::CardFile { path, source } = error {
        let exit = match source.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        return CliError::Other {
            doing: format!("cannot read the card {}", path.display()),
            exit,
            fix: "check the path; the agency sends its card, which `liaison partner card` writes there"
                .to_owned(),
            source: Box::new(source),
        };
    }
    CliError::Other {
        doing: "the history cannot be read".to_owned(),
        exit: Exit::Failed,
        fix:
            "name a node's directory, which has store/segments, or an export, which has checkpoint \
              and tile"
                .to_owned(),
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit_store::read_card;
    use std::path::Path;

    #[test]
    fn a_missing_card_is_named_and_not_the_history() {
        let error = unreadable(read_card(Path::new("/nowhere/npa.card")).unwrap_err());
        assert_eq!(error.exit(), Exit::NotFound);
        let text = error.to_text();
        assert!(text.contains("cannot read the card /nowhere/npa.card"), "{text}");
        assert!(text.contains("fix:   check the path"), "{text}");
    }

    #[test]
    fn changed_line_ends_are_refused_with_the_way_to_the_unchanged_file() {
        let fault = crate::audit::changed_line_ends(b"npa.go.jp/journal\r\n").unwrap();
        let error = refused(&fault, format!("checkpoint: {fault}"));
        assert_eq!(error.exit(), Exit::VerificationFailed);
        let text = error.to_text();
        for words in ["checkpoint: the line ends of a file were changed", "get it again as binary"]
        {
            assert!(text.contains(words), "{text}");
        }
        let error = unreadable(AuditError::LineEnds("held.note".into()));
        assert_eq!(error.exit(), Exit::Usage);
        let text = error.to_text();
        assert!(text.contains("held.note end with CR LF") && text.contains("as binary"), "{text}");
    }

    #[test]
    fn too_few_witnesses_are_no_incident() {
        let fault = Fault {
            check: Check::Quorum,
            expected: "2 witnesses".to_owned(),
            found: "at most 1 cosigned".to_owned(),
        };
        let error = refused(&fault, fault.to_string());
        assert_eq!(error.exit(), Exit::VerificationFailed);
        let text = error.to_text();
        assert!(
            text.contains("at most 1 cosigned") && text.contains("fewer with --quorum"),
            "{text}"
        );
        assert!(!text.contains("incident"), "{text}");
    }
}

//! The records that a partner refuses: shown as refused, and sent again when its rules of acceptance
//! change.

use std::path::Path;

use liaison::pb;
use liaison::policy::ClientRole;

use crate::fixture::{self, CORE_ONLY, RunningNode, audited, eventually, indicator};

const VENDOR: &str = "vendor.example";

/// The policy of the fixture without its permit to accept.
fn sharing_alone() -> &'static str {
    &CORE_ONLY[CORE_ONLY.find("@id(\"test/share\")").unwrap()..]
}

async fn pair(dir: &Path) -> (RunningNode, RunningNode) {
    let police = RunningNode::fresh(dir, "police.example", "police", CORE_ONLY).await;
    let vendor = RunningNode::fresh(dir, VENDOR, "vendor", sharing_alone()).await;
    fixture::introduce(&[&police, &vendor]).await;
    fixture::settled(&[&police, &vendor]).await;
    (police, vendor)
}

fn refused(partner: &pb::PartnerView) -> u64 {
    partner.refused.iter().map(|count| count.count).sum()
}

#[tokio::test]
async fn what_a_partner_refused_shows_as_refused_and_comes_when_its_policy_accepts_it() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let drafts = ["a.example", "b.example"].map(|value| indicator(value, ""));
    let ids: Vec<_> =
        police.submit(drafts.to_vec()).await.into_iter().map(|result| result.record_id).collect();
    fixture::settled(&[&police, &vendor]).await;
    let partner = police.partner(VENDOR).await;
    assert_eq!((partner.receipted, refused(&partner)), (partner.feed_size, 2), "{partner:?}");
    assert!(partner.refused[0].name.contains("policy"), "{:?}", partner.refused);
    assert_ne!(partner.offered_again_ms, 0);
    assert_eq!(vendor.status().await.records, 0);
    let shown = fixture::liaison(&["status", "--dir"], &[&police.dir]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("refused by partners"), "{shown}");

    let police = police.started_anew().await;
    assert_eq!(refused(&police.partner(VENDOR).await), 2, "from the journal");
    vendor.apply_policy(CORE_ONLY).await;
    eventually("what was refused comes", async || {
        for id in &ids {
            if vendor.view(ClientRole::Analyst, id).await.is_none() {
                return false;
            }
        }
        refused(&police.partner(VENDOR).await) == 0
    })
    .await;
    fixture::settled(&[&police, &vendor]).await;
    let partner = police.partner(VENDOR).await;
    // Both were refused at least once, and again if an offer came before the partner's rules changed.
    assert!(partner.exceptions >= 2 && partner.offered_again_ms == 0, "{partner:?}");
    for node in [&police, &vendor] {
        audited(node);
    }
}

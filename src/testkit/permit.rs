//! A policy that permits one action to every partner under a condition.

pub(crate) fn permit(id: &str, action: &str, when: &str) -> String {
    format!(
        r#"
@id("test/{id}") @title("{id}") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"{action}", resource is Liaison::Record)
when {{ {when} }};
"#
    )
}

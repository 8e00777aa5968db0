//! The values behind a reference, as far as they are the same for all verbs.

use std::collections::BTreeMap;

use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::workstation::Workstation;

/// What is at a place of this workstation: one field.
pub(crate) async fn of_place(workstation: &Workstation<'_>, place: &Place) -> Result<Fields, Failure> {
    let secret = workstation.find(&place.clone().into()).await?;
    let field = match place {
        Place::Env(name) => name,
        Place::File(_) => "content",
        Place::Stored(..) | Place::Vault(_) => "secret",
    };
    Ok(Fields::from_iter([(field, secret)]))
}

/// The field that is named, or the only one there is.
pub(crate) fn one(reference: &Reference, fields: &Fields) -> Result<Secret, Failure> {
    let names = || fields.names().collect::<Vec<_>>().join(", ");
    let found = match (reference.field(), fields.iter().next()) {
        (Some(field), _) => fields.field(field),
        (None, Some((_, value))) if fields.names().count() == 1 => Some(value),
        (None, _) => {
            let failure = Failure::new(Kind::Invalid, format!("{reference} does not say which field"));
            return Err(failure.hint(format!("add #FIELD; its fields are: {}", names())));
        }
    };
    found.cloned().ok_or_else(|| {
        let (place, field) = (reference.place(), reference.field().unwrap_or_default());
        Failure::new(Kind::NotFound, format!("{place} has no field `{field}`"))
            .hint(format!("its fields are: {}", names()))
    })
}

/// All fields as a JSON object.
pub(crate) fn json(fields: &Fields) -> Secret {
    let map: BTreeMap<_, _> = fields.iter().map(|(name, value)| (name, value.expose())).collect();
    // A map of texts can always be written.
    Secret::new(serde_json::to_string(&map).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_missing_is_answered_with_those_there_are() {
        let fields =
            Fields::from_iter([("password", Secret::new("canary")), ("username", Secret::new("canary"))]);
        let check = |text: &str, expect: Result<(), &str>| {
            let failure = one(&Reference::parse(text).unwrap(), &fields).map(drop);
            let told =
                failure.map_err(|failure| format!("{failure}; {}", failure.advice().unwrap_or_default()));
            assert_eq!(told, expect.map_err(ToOwned::to_owned));
        };
        check("vault://secret/db#password", Ok(()));
        check(
            "vault://secret/db#pasword",
            Err("vault://secret/db has no field `pasword`; its fields are: password, username"),
        );
        check(
            "vault://secret/db",
            Err("vault://secret/db does not say which field; add #FIELD; its fields are: password, username"),
        );
    }
}

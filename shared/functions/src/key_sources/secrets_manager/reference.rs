//! Reference to a secret: `JWT_SECRET_ARN`.

/// ARN of a secret, with the field of its JSON if there is one: `arn:…:secret:name-AbCdEf:field::`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    pub(super) arn: String,
    pub(super) region: String,
    /// Member that contains the key, if the secret is a JSON object.
    pub(super) field: Option<String>,
}

impl SecretReference {
    /// Parses an ARN, with or without `:json-key::` at its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (arn, field) = match parts[..] {
            [.., field, "", ""] if parts.len() == 10 => (&parts[..7], Some(field)),
            _ => (&parts[..], None),
        };
        let [
            "arn",
            partition,
            "secretsmanager",
            region,
            account,
            "secret",
            name,
        ] = arn[..]
        else {
            return None;
        };
        let plain = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
        let whole = [partition, region, account, name].into_iter().all(plain);
        (whole && field != Some("")).then(|| Self {
            arn: arn.join(":"),
            region: region.to_owned(),
            field: field.map(str::to_owned),
        })
    }
}

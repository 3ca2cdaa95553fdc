//! The configuration: all errors are reported in one line.

use session_functions::config::{AuthorizerConfig, CleanupConfig, ForceCleanupConfig, StatsConfig};
use session_functions::environment::Environment;

use session_functions::metrics::Namespace;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn authorizer(changes: &[(&str, &str)]) -> Result<(), String> {
    let usual = [
        ("TABLE_NAME", "sessions"),
        ("JWT_ALGORITHM", "HS256"),
        ("JWT_SECRET", SECRET),
        ("JWT_ISSUER", "https://issuer.example"),
        ("JWT_AUDIENCE", "api"),
    ];
    let variables: Environment = usual.into_iter().chain(changes.iter().copied()).collect();
    AuthorizerConfig::read(&variables)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[test]
fn reports_all_errors_in_one_line() {
    let variables: Environment = [("DUE_SHARDS", "abc"), ("SWEEP_GRACE_HOURS", "721")]
        .into_iter()
        .collect();
    assert_eq!(
        CleanupConfig::read(&variables).unwrap_err().to_string(),
        "invalid configuration: \
         TABLE_NAME is missing (a table's name: 3 to 255 letters, digits, '_', '-' or '.'); \
         DUE_SHARDS is \"abc\" (a whole number from 1 to 100); \
         SWEEP_GRACE_HOURS is \"721\" (a whole number from 0 to 720)"
    );
    let error = AuthorizerConfig::read(&Environment::default())
        .unwrap_err()
        .to_string();
    for name in [
        "TABLE_NAME",
        "JWT_ALGORITHM",
        "JWT_SECRET",
        "JWT_ISSUER",
        "JWT_AUDIENCE",
    ] {
        assert!(error.contains(name), "{name} in {error}");
    }
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn defaults_are_sufficient() {
    let variables: Environment = [("TABLE_NAME", "sessions")].into_iter().collect();
    let config = CleanupConfig::read(&variables).unwrap();
    assert!(config.count_sessions);
    assert_eq!(config.metrics_namespace, Namespace::default());
    assert_eq!(config.sweep_grace.0, 48);
    assert_eq!(config.settings.retention.0, 30);
    assert_eq!(config.settings.report_retention.0, 90);
    assert_eq!(config.settings.shards.all().count(), 16);
    assert_eq!(
        config
            .settings
            .max_writes_per_second
            .map(std::num::NonZeroU32::get),
        Some(1_000)
    );
    assert!(ForceCleanupConfig::read(&variables).is_ok());
    assert!(StatsConfig::read(&variables).is_ok());
    assert_eq!(authorizer(&[]), Ok(()));
}

#[test]
fn validates_lifetime_of_sessions() {
    for (variables, error) in [
        (&[("OPEN_SESSIONS", "never")][..], None),
        (&[("SESSION_MAX_HOURS", "720")], None),
        (&[("SESSION_IDLE_MINUTES", "43200")], None),
        (
            &[
                ("OPEN_SESSIONS", "on_first_use"),
                ("SESSION_MAX_HOURS", "1"),
            ],
            None,
        ),
        (
            &[("OPEN_SESSIONS", "always")],
            Some("OPEN_SESSIONS is \"always\" (never or on_first_use)"),
        ),
        (
            &[("OPEN_SESSIONS", "on_first_use")],
            Some(
                "SESSION_MAX_HOURS is missing (a whole number from 1 to 720, \
                 which OPEN_SESSIONS=on_first_use requires)",
            ),
        ),
        (
            &[("SESSION_MAX_HOURS", "721")],
            Some("SESSION_MAX_HOURS is \"721\" (a whole number from 1 to 720)"),
        ),
        (
            &[("SESSION_MAX_HOURS", "0")],
            Some("SESSION_MAX_HOURS is \"0\" (a whole number from 1 to 720)"),
        ),
        (
            &[("SESSION_MAX_HOURS", "25"), ("SESSION_RETENTION_DAYS", "1")],
            Some("SESSION_MAX_HOURS is \"25\" (a whole number from 1 to 24)"),
        ),
        (
            &[
                ("OPEN_SESSIONS", "on_first_use"),
                ("SESSION_MAX_HOURS", "1"),
                ("JWT_AUTH_TIME_CLAIM", "/iat"),
                ("JWT_TOKEN_ID_CLAIM", "uti"),
                ("JWT_SESSION_CLAIM", "uti"),
            ],
            Some(
                "JWT_AUTH_TIME_CLAIM is \"/iat\", which differs between the tokens of a session: \
                 OPEN_SESSIONS=on_first_use needs a claim that a refresh does not change; \
                 JWT_SESSION_CLAIM is \"uti\", which differs between the tokens of a session: \
                 OPEN_SESSIONS=on_first_use needs a claim that a refresh does not change",
            ),
        ),
        (
            &[("JWT_AUTH_TIME_CLAIM", "iat"), ("JWT_SESSION_CLAIM", "jti")],
            None,
        ),
        (
            &[("SESSION_IDLE_MINUTES", "43201")],
            Some("SESSION_IDLE_MINUTES is \"43201\" (a whole number from 0 to 43200)"),
        ),
    ] {
        let error = error.map(|error| format!("invalid configuration: {error}"));
        assert_eq!(authorizer(variables).err(), error, "{variables:?}");
    }
}

#[test]
fn zero_means_no_write_limit() {
    let variables: Environment = [("TABLE_NAME", "sessions"), ("MAX_WRITES_PER_SECOND", "0")]
        .into_iter()
        .collect();
    assert_eq!(
        CleanupConfig::read(&variables)
            .unwrap()
            .settings
            .max_writes_per_second,
        None
    );
}

#[test]
fn accepts_true_or_false_for_count_sessions() {
    let read = |value| {
        let variables = [("TABLE_NAME", "sessions"), ("COUNT_SESSIONS", value)];
        let config = CleanupConfig::read(&variables.into_iter().collect());
        config
            .map(|it| it.count_sessions)
            .map_err(|it| it.to_string())
    };
    assert_eq!(read("true"), Ok(true));
    assert_eq!(read("false"), Ok(false));
    let error = read("no").unwrap_err();
    assert!(
        error.contains("COUNT_SESSIONS is \"no\" (true or false)"),
        "{error}"
    );
}

#[test]
fn validates_cors_origin_of_http_functions() {
    let variables = [("TABLE_NAME", "sessions"), ("CORS_ORIGIN", "a.example")];
    let variables: Environment = variables.into_iter().collect();
    let expected = "invalid configuration: CORS_ORIGIN is \"a.example\" \
                    (an origin such as https://admin.example.com, or *)";
    let stats = StatsConfig::read(&variables).unwrap_err();
    let force_cleanup = ForceCleanupConfig::read(&variables).unwrap_err();
    assert_eq!(stats.to_string(), expected);
    assert_eq!(force_cleanup.to_string(), expected);
    assert!(CleanupConfig::read(&variables).is_ok());
}

#[test]
fn accepts_only_schedules_that_eventbridge_accepts() {
    let read = |schedule: &str| {
        let variables = [("TABLE_NAME", "sessions"), ("CLEANUP_SCHEDULE", schedule)];
        let config = StatsConfig::read(&variables.into_iter().collect());
        config
            .map(|it| it.schedule.to_string())
            .map_err(|error| error.to_string())
    };
    for (schedule, expected) in [
        ("", "rate(1 hour)"),
        ("rate(15 minutes)", "rate(15 minutes)"),
        ("cron(0 3 ? * SUN *)", "cron(0 3 ? * SUN *)"),
    ] {
        assert_eq!(read(schedule).as_deref(), Ok(expected));
    }
    let error = read("hourly").unwrap_err();
    assert!(
        error.contains("CLEANUP_SCHEDULE is \"hourly\" ("),
        "{error}"
    );
}

#[test]
fn rejects_invalid_values() {
    for (name, value) in [
        ("DUE_SHARDS", "0"),
        ("DUE_SHARDS", "101"),
        ("DUE_SHARDS", "+1"),
        ("DUE_SHARDS", " 1"),
        ("SESSION_RETENTION_DAYS", "0"),
        ("SESSION_RETENTION_DAYS", "1.5"),
        ("SESSION_RETENTION_DAYS", "-1"),
        ("JWT_LEEWAY_SECONDS", "121"),
        ("LOG_LEVEL", "verbose"),
        ("METRICS_NAMESPACE", "AWS/Lambda"),
        ("METRICS_NAMESPACE", "two words"),
        ("TABLE_NAME", "a\"b"),
        ("TABLE_NAME", "ab"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "hs256"),
        ("JWT_ALGORITHM", "ES512"),
        ("JWT_AUDIENCE", "a,,b"),
        ("JWT_AUDIENCE", ","),
        ("JWT_USER_CLAIM", " sub"),
        ("JWT_SESSION_CLAIM", "/a~2b"),
        ("JWT_TOKEN_ID_CLAIM", "a\nb"),
        ("JWT_SCOPE_CLAIM", "scope "),
        ("JWT_AUDIENCE_CLAIM", "/~"),
        ("JWT_AUTH_TIME_CLAIM", " "),
        ("JWT_CLIENT_CLAIM", "\t"),
        ("JWT_TYPE", "at+jwt,"),
        ("JWT_REQUIRED_CLAIMS", "token_use"),
        ("JWT_REQUIRED_CLAIMS", "=access"),
        ("JWT_REQUIRED_CLAIMS", "token_use="),
        ("JWT_REQUIRED_CLAIMS", "a=b,,c=d"),
        ("JWT_REQUIRED_CLAIMS", "/~2=b"),
    ] {
        let error = authorizer(&[(name, value)]).unwrap_err();
        assert!(error.contains(&format!("{name} is {value:?}")), "{error}");
    }
}

/// Without an audience, the tokens of every other API of the issuer would be accepted.
#[test]
fn accepts_no_audience_only_with_claim_that_tells_apis_apart() {
    let without = |required| {
        authorizer(&[
            ("JWT_AUDIENCE", ""),
            ("JWT_AUDIENCE_CLAIM", "none"),
            ("JWT_REQUIRED_CLAIMS", required),
        ])
    };
    for required in [
        "client_id=web",
        "token_use=access,azp=web",
        "/ext/api=orders",
    ] {
        assert_eq!(without(required), Ok(()), "{required}");
    }
    for required in [
        "",
        "token_use=access",
        "typ=Bearer,token_type=access,tty=at",
        // All tokens of the issuer have it.
        "iss=https://issuer.example",
        // The same claims as JSON Pointers.
        "/typ=Bearer,/token_use=access,/iss=https://issuer.example",
    ] {
        let error = without(required).unwrap_err();
        assert!(error.contains("JWT_AUDIENCE_CLAIM is \"none\""), "{error}");
        assert!(
            error.contains("JWT_REQUIRED_CLAIMS must name a claim"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
    // Without `none`, the audience is required.
    let error = authorizer(&[("JWT_AUDIENCE", ""), ("JWT_AUDIENCE_CLAIM", "azp")]).unwrap_err();
    assert!(error.contains("JWT_AUDIENCE is missing"), "{error}");
}

#[test]
fn rejects_invalid_scope_names() {
    for (name, value) in [
        ("MONITORING_READ_SCOPE", "two words"),
        ("MONITORING_ADMIN_SCOPE", "a\"b"),
    ] {
        let variables = || {
            [("TABLE_NAME", "sessions"), (name, value)]
                .into_iter()
                .collect()
        };
        let stats = StatsConfig::read(&variables()).unwrap_err().to_string();
        let cleanup = ForceCleanupConfig::read(&variables())
            .unwrap_err()
            .to_string();
        for error in [stats, cleanup] {
            assert!(error.contains(&format!("{name} is {value:?}")), "{error}");
        }
    }
}

#[test]
fn rejects_key_unfit_for_algorithm_without_showing_it() {
    let rsa = include_str!("../../keys/rsa.pub.pem");
    let p256 = include_str!("../../keys/p256.pub.pem");
    let with_key = |algorithm, pem| {
        vec![
            ("JWT_ALGORITHM", algorithm),
            ("JWT_SECRET", ""),
            ("JWT_PUBLIC_KEY", pem),
        ]
    };
    let cases = [
        (
            vec![("JWT_SECRET", "short")],
            "JWT_SECRET must have 32 bytes or more for HS256",
        ),
        (
            vec![("JWT_ALGORITHM", "HS512")],
            "JWT_SECRET must have 64 bytes or more for HS512",
        ),
        (
            vec![("JWT_ALGORITHM", "RS256")],
            "JWT_SECRET is set, and JWT_PUBLIC_KEY or JWKS_URL is needed for RS256",
        ),
        (
            vec![("JWT_SECRET", ""), ("JWT_PUBLIC_KEY", rsa)],
            "JWT_PUBLIC_KEY is set, and JWT_SECRET or JWT_SECRET_ARN is needed for HS256",
        ),
        (
            vec![
                ("JWT_ALGORITHM", "ES256"),
                ("JWT_SECRET", ""),
                ("JWT_PUBLIC_KEY", rsa),
            ],
            "JWT_PUBLIC_KEY must be the PEM of a public key for ES256",
        ),
        (
            vec![
                ("JWT_ALGORITHM", "ES384"),
                ("JWT_SECRET", ""),
                ("JWT_PUBLIC_KEY", p256),
            ],
            "JWT_PUBLIC_KEY is of another curve, and cannot serve for ES384",
        ),
        (
            vec![
                ("JWT_ALGORITHM", "EdDSA"),
                ("JWT_SECRET", ""),
                ("JWT_PUBLIC_KEY", "nonsense"),
            ],
            "JWT_PUBLIC_KEY must be the PEM of a public key for EdDSA",
        ),
        (
            with_key("RS256", include_str!("../../keys/rsa.pem")),
            "JWT_PUBLIC_KEY holds a private key, and the public one is needed for RS256",
        ),
        (
            with_key("RS256", include_str!("../../keys/rsa-1024.pub.pem")),
            "JWT_PUBLIC_KEY has an RSA modulus of less than 2,048 or more than 8,192 bits, and \
             cannot serve for RS256",
        ),
        (
            with_key("ES256", include_str!("../../keys/secp256k1.pub.pem")),
            "JWT_PUBLIC_KEY is no point of the algorithm's curve, and cannot serve for ES256",
        ),
        (
            with_key("EdDSA", include_str!("../../keys/ed25519.pem")),
            "JWT_PUBLIC_KEY holds a private key, and the public one is needed for EdDSA",
        ),
        (
            vec![("JWT_PUBLIC_KEY", rsa)],
            "JWT_SECRET and JWT_PUBLIC_KEY are set (one of them)",
        ),
        (
            vec![("JWT_PUBLIC_KEY", rsa), ("JWKS_URL", "https://x.example/")],
            "JWT_SECRET, JWT_PUBLIC_KEY and JWKS_URL are set (one of them)",
        ),
        (
            vec![("JWT_SECRET", "")],
            "JWT_SECRET, JWT_SECRET_ARN, JWT_PUBLIC_KEY or JWKS_URL is missing (one of them)",
        ),
        (
            vec![("JWT_SECRET", rsa)],
            "JWT_SECRET holds a public key, and a secret is needed for HS256",
        ),
    ];
    for (changes, expected) in cases {
        let error = authorizer(&changes).expect_err(expected);
        assert!(error.contains(expected), "{error}");
        assert!(
            !error.contains(SECRET) && !error.contains("BEGIN"),
            "{error}"
        );
    }
}

#[test]
fn accepts_jwks_url_with_https_or_on_loopback() {
    let with = |algorithm: &str, url: &str| {
        authorizer(&[
            ("JWT_ALGORITHM", algorithm),
            ("JWT_SECRET", ""),
            ("JWKS_URL", url),
        ])
    };
    for good in [
        "https://issuer.example/.well-known/jwks.json",
        "https://issuer.example:8443/keys?tenant=a",
        "HTTPS://issuer.example/",
        "http://localhost:8080/keys",
        "http://127.0.0.1/keys",
        "http://127.1.2.3:1/keys",
        "http://[::1]:8080/keys",
    ] {
        assert_eq!(with("RS256", good), Ok(()), "{good}");
    }
    for bad in [
        "http://issuer.example/keys",
        "http://localhost.issuer.example/keys",
        "http://127.0.0.1.issuer.example/keys",
        "http://128.0.0.1/keys",
        "http://localhost@issuer.example/keys",
        "https://user:password@issuer.example/keys",
        "ftp://issuer.example/keys",
        "file:///etc/keys",
        "issuer.example/keys",
        "/keys",
        "https://",
        "https:///keys",
        "https:// issuer.example/",
    ] {
        let error = with("RS256", bad).expect_err(bad);
        assert_eq!(
            error,
            "invalid configuration: JWKS_URL must be an https URL without credentials \
             (http on loopback only)",
            "{bad}"
        );
    }
    assert_eq!(
        with("HS256", "https://issuer.example/").unwrap_err(),
        "invalid configuration: JWKS_URL is set, and JWT_SECRET or JWT_SECRET_ARN is needed for \
         HS256"
    );
}

#[test]
fn accepts_only_arn_of_stored_secret() {
    let with = |algorithm: &str, arn: &str| {
        authorizer(&[
            ("JWT_ALGORITHM", algorithm),
            ("JWT_SECRET", ""),
            ("JWT_SECRET_ARN", arn),
        ])
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:jwt/signing-AbCdEf";
    for good in [
        arn.to_owned(),
        format!("{arn}:secret::"),
        arn.replace("aws:", "aws-cn:"),
    ] {
        assert_eq!(with("HS256", &good), Ok(()), "{good}");
    }
    for bad in [
        "jwt/signing".to_owned(),
        arn.replace("secretsmanager", "ssm"),
        arn.replace("eu-west-1", ""),
        format!("{arn}:"),
        format!("{arn}:secret"),
        format!("{arn}:::"),
        // The authorizer itself selects the versions: the current one, and the previous one during
        // a rotation.
        format!("{arn}:secret:AWSPENDING:"),
        format!("{arn}:secret::11112222-3333-4444-5555-666677778888"),
        format!("{arn} "),
    ] {
        let error = with("HS256", &bad).expect_err(&bad);
        assert!(
            error.starts_with(&format!(
                "invalid configuration: JWT_SECRET_ARN is {bad:?} ("
            )),
            "{error}"
        );
    }
    assert_eq!(
        with("ES256", arn).unwrap_err(),
        "invalid configuration: JWT_SECRET_ARN is set, and JWT_PUBLIC_KEY or JWKS_URL is needed \
         for ES256"
    );
}

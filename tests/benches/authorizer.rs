//! Benchmark of the authorizer, compared with a function that only makes one DynamoDB call: the
//! release binaries of both in AWS's emulator, with the embedded DynamoDB.
//!
//! Arguments are full paths of other builds of the authorizer, which are then measured instead of
//! `target/release/authorizer`, all in one run. Each of them is also compared with the first. All builds get the
//! same tokens and settings; a build without settings for the names of claims reads the standard ones, which the
//! tokens have too.
//!
//! On a busy machine all figures are larger. Therefore all subjects take turns in each round, and
//! the ratio of their medians counts. A missed goal is printed but does not fail the benchmark.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers, which prints, and panics on errors"
)]

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::authorizing::{denial, issued};
use session_cleanup_tests::benchmark::mappings::{MAPPINGS, token_for_mappings};
use session_cleanup_tests::benchmark::stats::{mebibytes, quartiles, rotated};
use session_cleanup_tests::emulator::{Emulator, binary};
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::fault_proxy::{Exchange, Fault, FaultProxy};
use session_cleanup_tests::token_factory::Signer;
use session_cleanup_tests::{HOUR, World};
use session_lifecycle::clock;

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// Number of starts of each subject.
const STARTS: usize = 40;
/// Number of processes of each subject that serve warm requests. Two processes of the same binary differ by some
/// percent, because their memory is laid out differently.
const PROCESSES: usize = 16;
/// Number of rounds with a warm process, and requests per round.
const ROUNDS: usize = 8;
const REQUESTS: u32 = 50;
/// Number of invocations whose requests to DynamoDB are counted.
const COUNTED: u32 = 10;

/// A measured function.
struct Subject {
    name: String,
    /// Index of the same subject of the first build.
    compared_with: Option<usize>,
    binary: PathBuf,
    variables: Vec<(&'static str, String)>,
    event: Value,
    figures: Figures,
}

/// Requests by operation.
type Counts = BTreeMap<String, u32>;

/// The measured figures.
#[derive(Default)]
struct Figures {
    /// Time from the first invocation, which starts the init; one value per start.
    milliseconds_to_first_answer: Vec<f64>,
    milliseconds_of_cpu_to_first_answer: Vec<f64>,
    /// CPU time of one request; one value per round.
    microseconds_of_cpu: Vec<f64>,
    mebibytes_at_most: f64,
    mebibytes_of_binary: f64,
    /// Requests until the first answer, and for [`COUNTED`] answers after it.
    requests: [Counts; 2],
}

/// A figure of all subjects, printed under a title.
struct Section {
    title: &'static str,
    goal: Goal,
    values: fn(&Figures) -> Vec<f64>,
}

/// The maximum of a figure.
enum Goal {
    TimesTheBaseline(f64),
    Of(f64),
    None,
}

const SECTIONS: [Section; 5] = [
    Section {
        title: "cold start to the first answer, ms",
        goal: Goal::TimesTheBaseline(1.3),
        values: |it| it.milliseconds_to_first_answer.clone(),
    },
    Section {
        title: "CPU to the first answer, ms",
        goal: Goal::Of(12.0),
        values: |it| it.milliseconds_of_cpu_to_first_answer.clone(),
    },
    Section {
        title: "CPU of an allowed request when warm, µs",
        goal: Goal::TimesTheBaseline(1.25),
        values: |it| it.microseconds_of_cpu.clone(),
    },
    Section {
        title: "most resident memory, MiB",
        goal: Goal::Of(16.0),
        values: |it| vec![it.mebibytes_at_most],
    },
    Section {
        title: "size of the binary, MiB",
        goal: Goal::None,
        values: |it| vec![it.mebibytes_of_binary],
    },
];

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimesTheBaseline(most) => write!(f, " (goal: at most {most} × the baseline)"),
            Self::Of(most) => write!(f, " (goal: at most {most})"),
            Self::None => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() {
    let world = World::new().await;
    let end = clock::now().timestamp() + HOUR;
    world.open("ann", "live", end).await;

    let mut subjects = subjects(&world, end);
    measure_starts(&world, &mut subjects).await;
    for _ in 0..PROCESSES {
        measure_requests(&world, &mut subjects).await;
    }
    for subject in &mut subjects {
        count_requests(&world, subject).await;
        let binary = fs::metadata(&subject.binary).expect("the binary exists");
        subject.figures.mebibytes_of_binary = mebibytes(binary.len());
    }

    println!(
        "median (middle half) of {STARTS} starts, and of {PROCESSES} × {ROUNDS} × {REQUESTS} requests"
    );
    let missed: usize = SECTIONS.iter().map(|it| print(it, &subjects)).sum();
    let missed = missed + print_requests(&subjects);
    println!("\n{missed} figures miss their goal");
}

/// The baseline, and the authorizer with each algorithm.
fn subjects(world: &World, end: i64) -> Vec<Subject> {
    // Cargo adds `--bench`.
    let given = env::args().skip(1).filter(|it| !it.starts_with("--"));
    let mut builds: Vec<(String, PathBuf)> = given.map(|it| (it.clone(), it.into())).collect();
    if builds.is_empty() {
        builds.push(("authorizer".to_owned(), binary("authorizer")));
    }
    let claims = issued(
        world,
        json!({
            "sub": "ann", "sid": "live", "jti": "819e5c42-f0bc-4a99-aa32-4565ffeec0a7",
            "exp": end, "iat": end - HOUR, "scope": "orders:read sessions:read",
        }),
    );
    let token = |signer: &Signer| signer.sign(signer.header(), claims.to_string());
    let [_, _, issuer, audience] = world.tokens.variables();
    let event = |token: &str| event_with_token(FunctionName::Authorizer, "rest-request", token);
    let keys = |signer: &Signer| {
        vec![
            ("JWT_ALGORITHM", format!("{:?}", signer.algorithm)),
            ("JWT_SECRET", String::new()),
            (signer.variable, signer.public.clone()),
            issuer.clone(),
            audience.clone(),
        ]
    };
    // The baseline gets the same event, because both must receive it.
    let mut subjects = vec![Subject {
        name: "baseline".to_owned(),
        compared_with: None,
        binary: binary("baseline"),
        variables: Vec::new(),
        event: event(&token(&Signer::of(ALGORITHMS[0]))),
        figures: Figures::default(),
    }];
    let each_build = ALGORITHMS.len() + MAPPINGS.len();
    for (index, (build, binary)) in builds.into_iter().enumerate() {
        let mut add = |name: String, variables, token: &str| {
            subjects.push(Subject {
                name,
                compared_with: (index > 0).then(|| subjects.len() - index * each_build),
                binary: binary.clone(),
                variables,
                event: event(token),
                figures: Figures::default(),
            });
        };
        for algorithm in ALGORITHMS {
            let signer = Signer::of(algorithm);
            add(
                format!("{build} {algorithm:?}"),
                keys(&signer),
                &token(&signer),
            );
        }
        let signer = Signer::of(Algorithm::HS256);
        let token = token_for_mappings(&signer, &claims);
        for (name, settings) in MAPPINGS {
            let mut variables = keys(&signer);
            let settings = settings.iter().map(|it| (it.0, it.1.to_owned()));
            variables.extend(settings);
            add(format!("{build} {name}"), variables, &token);
        }
    }
    subjects
}

async fn measure_starts(world: &World, subjects: &mut [Subject]) {
    for round in 0..STARTS {
        for index in rotated(round, subjects.len()) {
            let subject = &mut subjects[index];
            let emulator = subject.emulator(world, None).await;
            #[expect(clippy::disallowed_methods, reason = "real time is measured")]
            let started = Instant::now();
            subject.ask(&emulator).await;
            let time = started.elapsed();
            let cpu = emulator.function().expect("a running function").cpu();
            let figures = &mut subject.figures;
            figures
                .milliseconds_to_first_answer
                .push(time.as_secs_f64() * 1e3);
            figures
                .milliseconds_of_cpu_to_first_answer
                .push(cpu.as_secs_f64() * 1e3);
            emulator.stop().await;
        }
    }
}

async fn measure_requests(world: &World, subjects: &mut [Subject]) {
    let mut running = Vec::new();
    for subject in &*subjects {
        let emulator = subject.emulator(world, None).await;
        for _ in 0..REQUESTS {
            subject.ask(&emulator).await;
        }
        let process = emulator.function().expect("a running function");
        running.push((emulator, process));
    }
    for round in 0..ROUNDS {
        for index in rotated(round, subjects.len()) {
            let (subject, (emulator, process)) = (&mut subjects[index], &running[index]);
            let before = process.cpu();
            for _ in 0..REQUESTS {
                subject.ask(emulator).await;
            }
            let cpu = process.cpu().saturating_sub(before) / REQUESTS;
            subject
                .figures
                .microseconds_of_cpu
                .push(cpu.as_secs_f64() * 1e6);
        }
    }
    for (subject, (emulator, process)) in subjects.iter_mut().zip(running) {
        let figures = &mut subject.figures;
        figures.mebibytes_at_most = figures
            .mebibytes_at_most
            .max(mebibytes(process.most_resident()));
        emulator.stop().await;
    }
}

async fn count_requests(world: &World, subject: &mut Subject) {
    // Without faults, only to record the requests.
    let passing = FaultProxy::before(world.dynamodb.address(), |_| Fault::None).await;
    let emulator = subject.emulator(world, Some(&passing)).await;
    subject.ask(&emulator).await;
    let first = passing.record().len();
    for _ in 0..COUNTED {
        subject.ask(&emulator).await;
    }
    let record = passing.record();
    let (first, later) = record.split_at(first);
    subject.figures.requests = [counts(first), counts(later)];
    emulator.stop().await;
}

fn counts(record: &[Exchange]) -> Counts {
    let mut counts = Counts::new();
    for exchange in record {
        *counts
            .entry(exchange.request.operation.clone())
            .or_default() += 1;
    }
    counts
}

impl Subject {
    async fn emulator(&self, world: &World, passing: Option<&FaultProxy>) -> Emulator {
        let through = passing.map(|it| ("AWS_ENDPOINT_URL_DYNAMODB", it.url()));
        let variables = self.variables.iter().cloned().chain(through);
        Emulator::start_binary(world, &self.binary, variables).await
    }

    /// Invokes the subject once and checks the answer, because other answers have other costs.
    async fn ask(&self, emulator: &Emulator) {
        let answer = emulator.invoke(&self.event).await.expect("an answer");
        if answer != json!({ "items": 1 }) {
            assert_eq!(denial(&answer), None, "{}", self.name);
        }
    }
}

/// Prints a figure of all subjects. Returns how many miss the goal.
fn print(section: &Section, subjects: &[Subject]) -> usize {
    println!("\n{}{}", section.title, section.goal);
    let mut missed = 0;
    let [_, of_the_baseline, _] = quartiles((section.values)(&subjects[0].figures));
    for (index, subject) in subjects.iter().enumerate() {
        let [low, median, high] = quartiles((section.values)(&subject.figures));
        print!("  {:<26}{median:>8.2}", subject.name);
        if low < high {
            print!("  ({low:.2} to {high:.2})");
        }
        if index > 0 {
            let ratio = median / of_the_baseline;
            print!("  {ratio:.2} ×");
            if let Some(before) = subject.compared_with {
                let [_, before, _] = quartiles((section.values)(&subjects[before].figures));
                print!("  ({:.3} × the first build)", median / before);
            }
            let reached = match section.goal {
                Goal::None => true,
                Goal::TimesTheBaseline(most) => ratio <= most,
                Goal::Of(most) => median <= most,
            };
            if !reached {
                missed += 1;
                print!("  MISSED");
            }
        }
        println!();
    }
    missed
}

/// Prints the requests to DynamoDB. Returns how many subjects make more than one read per
/// invocation.
fn print_requests(subjects: &[Subject]) -> usize {
    println!("\nrequests to DynamoDB (goal: one read per request)");
    let mut missed = 0;
    for subject in subjects {
        let [first, later] = subject.figures.requests.each_ref().map(|counts| {
            let each = counts
                .iter()
                .map(|(operation, requests)| format!("{requests} {operation}"));
            each.collect::<Vec<_>>().join("; ")
        });
        print!(
            "  {:<26}until the first answer: {first}; for {COUNTED} more: {later}",
            subject.name
        );
        let counts = &subject.figures.requests[1];
        let only_reads = counts.keys().eq(["BatchGetItem"]);
        if !only_reads || counts["BatchGetItem"] != COUNTED {
            missed += 1;
            print!("  MISSED");
        }
        println!();
    }
    missed
}

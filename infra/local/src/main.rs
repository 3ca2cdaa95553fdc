//! The command line of the local stack.

use std::error::Error;
use std::process::{ExitCode, exit};
use std::time::Duration;

use clap::{Parser, Subcommand};
use session_cleanup_local::error::ServeError;
#[cfg(unix)]
use session_cleanup_local::sam_local;
use session_cleanup_local::terminal::{ERROR, err, out, styled};
use session_cleanup_local::{demo, import, serve, token};
use session_domain::error_chain;
use session_functions::environment::Environment;
use session_functions::telemetry;
use tokio::time::timeout;

/// Run Session Cleanup on this machine, without an AWS account
#[derive(Parser)]
#[command(
    name = "session-cleanup",
    // Users start it with cargo's aliases.
    bin_name = "cargo",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Command {
    #[command(subcommand)]
    run: Run,
}

#[derive(Subcommand)]
enum Run {
    /// Run the cleanup on sample data once, and check every figure
    Demo,
    /// Run the stack until Ctrl-C
    #[command(name = "local")]
    Serve(Box<serve::Options>),
    /// Build the functions, and run them in Docker with `sam local` until Ctrl-C
    #[cfg(unix)]
    SamLocal(sam_local::Options),
}

/// Exit code for a wrong usage, or a command that cannot be executed.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    // On wrong usage, clap prints its own message and exits with the same code.
    let done = match Command::parse().run {
        Run::Demo => {
            return match demo::run().await {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => fail(&*error, 1),
            };
        }
        Run::Serve(options) => match &options.command {
            Some(serve::Beside::Token(asked)) => token::run(asked).await,
            None if options.source.dry_run => {
                return match import::dry_run(&options.source) {
                    Ok(true) => ExitCode::SUCCESS,
                    Ok(false) => ExitCode::FAILURE,
                    Err(error) => fail(&error, USAGE),
                };
            }
            None => serve_until_interrupted(&options).await,
        },
        #[cfg(unix)]
        Run::SamLocal(options) => sam_local::run(&options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, USAGE),
    }
}

async fn serve_until_interrupted(options: &serve::Options) -> Result<(), ServeError> {
    telemetry::start(&Environment::from_process(), std::io::stderr);
    let mut interrupt = Box::pin(tokio::signal::ctrl_c());
    // The first poll installs the handler. Until then, the signal would kill the process.
    let _ = futures_util::poll!(&mut interrupt);
    let farewell = serve::farewell(options);
    let stop = async {
        // If the handler cannot be installed, the signal kills the process.
        let _ = interrupt.await;
        // A request that never ends must not block the shutdown.
        tokio::spawn(async move {
            let _ = timeout(Duration::from_secs(3), tokio::signal::ctrl_c()).await;
            // Ignore errors: stdout may be closed.
            let _ = out(farewell);
            exit(0);
        });
    };
    serve::run(options, stop).await
}

/// Prints an error to standard error, one line per problem.
fn fail(error: &(dyn Error + 'static), code: u8) -> ExitCode {
    for problem in error_chain(error).lines() {
        err(format!("{} {problem}", styled(ERROR, "error:")));
    }
    ExitCode::from(code)
}

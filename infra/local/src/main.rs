//! The commands.

use std::error::Error;
use std::process::{ExitCode, exit};
use std::time::Duration;

use clap::{Parser, Subcommand};
use session_cleanup_local::error::ServeError;
#[cfg(unix)]
use session_cleanup_local::sam_local;
use session_cleanup_local::terminal::{ERROR, err, out, styled};
use session_cleanup_local::{demo, serve, token};
use session_domain::error_chain;
use session_functions::config::Environment;
use session_functions::telemetry;
use tokio::time::timeout;

/// Session Cleanup on one machine, without an AWS account
#[derive(Parser)]
#[command(
    name = "session-cleanup",
    // It is started by cargo's aliases.
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
    /// Run the main job once, and check every figure
    Demo,
    /// Serve the stack until Ctrl-C
    #[command(name = "local")]
    Serve(Box<serve::Options>),
    /// Build the functions, and serve them in Docker by `sam local` until Ctrl-C
    #[cfg(unix)]
    SamLocal(sam_local::Options),
}

/// A command that was used wrongly, or cannot be carried out as it was given.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    // What is used wrongly ends here, with clap's own words and the same code.
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
    // Waits for it from now on: before, the signal would end the process as it is.
    let _ = futures_util::poll!(&mut interrupt);
    let farewell = serve::farewell(options);
    let stop = async {
        // Where the signal can't be waited for, it ends the process.
        let _ = interrupt.await;
        // A request that never ends must not keep the stack up.
        tokio::spawn(async move {
            let _ = timeout(Duration::from_secs(3), tokio::signal::ctrl_c()).await;
            // Where nobody listens, there is nobody to tell.
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

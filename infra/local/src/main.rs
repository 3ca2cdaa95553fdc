//! The commands.

use std::process::{ExitCode, exit};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
#[cfg(unix)]
use session_cleanup_local::sam_local;
use session_cleanup_local::terminal::{BAD, complain, styled};
use session_cleanup_local::{demo, serve};
use session_lifecycle::config::Variables;
use session_lifecycle::telemetry;
use tokio::time::timeout;

/// Session Cleanup on one machine, without an AWS account
#[derive(Parser)]
#[command(
    bin_name = "cargo",
    disable_help_subcommand = true,
    arg_required_else_help = false
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
    Serve(serve::Options),
    /// Build the functions, and serve them in Docker by `sam local` until Ctrl-C
    #[cfg(unix)]
    SamLocal(sam_local::Options),
}

/// A command that was used wrongly, or cannot be carried out as it was given.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            error.exit()
        }
        Err(error) => {
            // Its first line says what is wrong; the rest is usage.
            let message = error.to_string();
            complain(message.lines().next().unwrap_or_default());
            return ExitCode::from(USAGE);
        }
    };
    match command.run {
        Run::Demo => match demo::run().await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => fail(&error, 1),
        },
        Run::Serve(options) => {
            telemetry::start(&Variables::of_the_process(), std::io::stderr);
            let mut interrupt = Box::pin(tokio::signal::ctrl_c());
            // Waits for it from now on: before, the signal would end the process as it is.
            let _ = futures_util::poll!(&mut interrupt);
            let stop = async {
                // Where the signal can't be waited for, it ends the process.
                let _ = interrupt.await;
                // A request that never ends must not keep the stack up.
                tokio::spawn(async {
                    let _ = timeout(Duration::from_secs(3), tokio::signal::ctrl_c()).await;
                    exit(0);
                });
            };
            match serve::run(&options, stop).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error, USAGE),
            }
        }
        #[cfg(unix)]
        Run::SamLocal(options) => match sam_local::run(&options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, USAGE),
        },
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    complain(format!("{} {error}", styled(BAD, "error:")));
    ExitCode::from(code)
}

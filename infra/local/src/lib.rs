//! The whole stack on one machine, without an AWS account: the embedded DynamoDB, a local API
//! Gateway and the functions. Only `sam_local` needs Docker.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`template`] | what the stack reads from `template.yaml`, so that it cannot differ from the deployed one |
//! | [`dynamodb`] | the embedded DynamoDB, in memory or in a file |
//! | [`functions`] | the functions, invoked with JSON as on Lambda |
//! | [`gateway`] | a local API Gateway: requests become events, answers become responses |
//! | [`stack`], [`server`] | all of these together, and the stack on a port |
//! | [`sample`], [`import`], [`data`] | what the table is filled with, and the files that keep it |
//! | [`jwt`], [`tokens`], [`issue`] | which tokens the authorizer accepts, signing them, and creating sessions for them |
//! | [`client`] | an HTTP client |
//! | [`demo`], [`serve`], [`token`], `sam_local` | the commands |
//! | [`banner`], [`terminal`] | what the commands print |
//! | [`error`] | the error of the commands |

pub mod banner;
pub mod client;
pub mod data;
pub mod demo;
mod durations;
pub mod dynamodb;
pub mod error;
pub mod functions;
pub mod gateway;
pub mod import;
pub mod issue;
pub mod jwt;
#[cfg(unix)]
pub mod sam_local;
pub mod sample;
pub mod serve;
pub mod server;
pub mod stack;
pub mod template;
pub mod terminal;
pub mod token;
pub mod tokens;

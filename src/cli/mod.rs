//! The command line: one file a verb. The sole user of standard output, environment variables and exit codes; decides
//! nothing about the domain.

mod accept;
mod build;
mod completions;
mod demo;
mod diff;
mod doctor;
mod down;
mod error;
mod exec;
mod freeze;
mod github;
mod globals;
mod init;
mod kept;
mod logs;
mod man;
mod outputs;
mod parse;
mod plan;
mod prepare;
mod ps;
mod push;
mod records;
mod render;
mod report;
mod reports;
mod run;
mod runtime;
mod show;
mod submit;
mod sweep;
mod told;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::{Class, CliError};
pub use globals::Globals;

/// Which versions of a distributed system work together, with evidence
#[derive(Debug, Parser)]
#[command(name = "skew", version, max_term_width = 100, after_help = AFTER)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,

    #[command(subcommand)]
    verb: Verb,
}

const AFTER: &str = "\
A spec is the file that was named, else the nearest `skew.toml` here or above.

Exit codes: 0 every verdict is as expected; 1 something failed that was not expected to; 2 the spec
or the command line is wrong, or a check passed nowhere; 3 infrastructure failed; 4 the store is
unusable; 130 interrupted (the same command resumes).";

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::InitArgs),
    Validate(validate::ValidateArgs),
    Doctor(doctor::DoctorArgs),
    Plan(plan::PlanArgs),
    Build(build::BuildArgs),
    Images(build::ImagesArgs),
    Push(push::PushArgs),
    Freeze(freeze::FreezeArgs),
    Sweep(Box<sweep::SweepArgs>),
    Submit(Box<submit::SubmitArgs>),
    Show(show::ShowArgs),
    Report(report::ReportArgs),
    Diff(diff::DiffArgs),
    Accept(accept::AcceptArgs),
    Render(render::RenderArgs),
    Run(run::RunArgs),
    Up(run::UpArgs),
    Down(down::DownArgs),
    Ps(ps::PsArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Export(records::ExportArgs),
    Import(records::ImportArgs),
    Merge(records::MergeArgs),
    Gc(records::GcArgs),
    Demo(Box<demo::DemoArgs>),
    Schema(validate::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the verb that the command line names.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.globals.apply_colour();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
            anstream::eprintln!("{}", error.render(colour, cli.globals.width()));
            ExitCode::from(error.class().code())
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, CliError> {
    let globals = &cli.globals;
    match &cli.verb {
        Verb::Init(args) => init::run(globals, args)?,
        Verb::Validate(args) => validate::validate(globals, args)?,
        Verb::Doctor(args) => return doctor::run(globals, args),
        Verb::Plan(args) => plan::run(globals, args)?,
        Verb::Build(args) => return build::run(globals, args),
        Verb::Images(args) => build::images(globals, args)?,
        Verb::Push(args) => return push::run(globals, args),
        Verb::Freeze(args) => return freeze::run(globals, args),
        Verb::Sweep(args) => return sweep::run(globals, args),
        Verb::Submit(args) => return submit::run(globals, args),
        Verb::Show(args) => show::run(globals, args)?,
        Verb::Render(args) => render::run(globals, args)?,
        Verb::Report(args) => report::run(globals, args)?,
        Verb::Diff(args) => return diff::run(globals, args),
        Verb::Accept(args) => accept::run(globals, args)?,
        Verb::Run(args) => return run::run(globals, args),
        Verb::Up(args) => return run::up(globals, args),
        Verb::Down(args) => down::run(globals, args)?,
        Verb::Ps(args) => ps::run(globals, args)?,
        Verb::Logs(args) => logs::run(globals, args)?,
        Verb::Exec(args) => return exec::run(globals, args),
        Verb::Export(args) => records::export(globals, args)?,
        Verb::Import(args) => records::import(globals, args)?,
        Verb::Merge(args) => records::merge(globals, args)?,
        Verb::Gc(args) => records::gc(globals, args)?,
        Verb::Demo(args) => return demo::run(globals, args),
        Verb::Schema(args) => validate::schema(globals, args)?,
        Verb::Completions(args) => completions::run(globals, args, Cli::command())?,
        Verb::Man(args) => man::run(globals, args, Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

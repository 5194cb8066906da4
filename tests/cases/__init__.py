"""Cases from public bug reports and trials, through files and commands."""

"""The commands of `detector`, a module for each noun. Each has `add(commands)`, which declares its
command line; what it needs of other rooms is imported when it runs, so that help stays fast."""

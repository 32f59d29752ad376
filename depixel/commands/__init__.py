"""The commands of `depixel`, by what they are for; thin over the library."""

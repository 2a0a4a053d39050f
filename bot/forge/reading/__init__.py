"""A question about one repository on GitHub -> a value, asked once, and ahead where it is known to come."""

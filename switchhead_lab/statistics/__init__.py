"""Tests on differences paired by seed, and what repeated looks at growing samples cost."""

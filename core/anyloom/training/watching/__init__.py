"""What a run looks at every so many steps, and how it names a fault that would end in noise."""

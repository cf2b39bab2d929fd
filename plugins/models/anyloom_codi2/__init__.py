"""The CoDi-2 recipes, and the demo that trains, measures and shows the small one."""

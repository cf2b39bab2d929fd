"""What makes a very small CoDi-2 work on two cores: parts with closed-form starts and a look at the medium before."""

"""What would surprise somebody who recovers to a point, said beforehand, with the way around."""

"""The vocabulary of the refusal rules: groups of words that several patterns share."""

from typing import Final

WORDS: Final = {
    "near": r"[^.!?]{0,80}?",
    "adverbs": r"(?:\w+ly,? |just |also |still |therefore,? |in good conscience,? )*",
    "cannot": (
        "cannot|could not|will not|would not|must not"
        "|should not|may not|am not going to|do not wish to"
        "|refuse to|would rather not|'d rather not|would prefer not to"
        "|'d prefer not to|prefer not to|choose not to|do not intend to"
    ),
    "unable": (
        "unable to|uncomfortable|unwilling|not (?:able to|comfortable|allowed to|permitted to"
        "|programmed|designed|capable of|equipped to|willing to|qualified to|authorized to"
        "|in a position to|here to|trained to)|restricted from|prohibited from|forbidden"
    ),
    "help": (
        "help|assist|aid|support|provide|offer|give|share|supply|disclose|reveal|divulge|fulfil+"
        "|satisfy|comply|complete|answer|respond|address|engage|participate|discuss|create|write"
        "|generate|produce|make|explain|describe|teach|tell|advise|suggest|encourage|recommend"
        "|promote|condone|endorse|advocate|facilitate|enable|contribute|joke|justify|argue"
        "|do (?:that|this|so|it)|go (?:along|into)|continue|proceed|accept|speculate|comment"
        "|list|outline|accommodate|agree|entertain|instruct|guide|walk you|be (?:part|of (?:help"
        "|assistance|service)|able to|providing|helping|writing|sharing|involved)|allow|process"
        "|act on|role-?play|say (?:that|where|how|which|who)|look (?:that|this|it|him|her|them) up"
        "|in good conscience|with (?:this|that)|touch|perform|execute|take part|respond|grant"
    ),
    "harmless": (
        r"help (?:but|it|myself|\w+ing)\b|recommend\b[^.]* enough"
        r"|tell you how (?:much|often|many|happy|glad)|agree more|make sense|be (?:sure|certain)"
        r"|real[- ]time|up[- ]to[- ]date|live (?:data|updates|scores)|latest|current (?:data|prices"
        r"|weather|information)|(?:an? )?(?:exact|precise|definitive|specific) (?:number|date"
        r"|figure|price|count|amount|answer|estimate)|for (?:sure|certain)|see (?:your|the)"
        r"|personal (?:opinions?|preferences?"
        r"|feelings"
        r"|experiences?|emotions?)"
    ),
    "machine": r"ai|language model|artificial intelligence|assistant|chatbot|large language model",
    "mine": (
        r"my|(?:openai's|our|anthropic's|google's|meta's|the platform's)"
        r"(?= (?:[\w-]+ ){0,3}(?:polic|guideline|terms))"
    ),
    "principles": (
        r"programming|guidelines?|principles|polic(?:y|ies)|purpose|ethics|values|capabilities"
        r"|terms of (?:use|service)|standards|rules|abilities|training"
    ),
    "moral": (
        "appropriate|ethical|acceptable|okay|ok|right|(?:morally )?justified|moral|respectful|fair"
        "|justifiable|tolerable|tolerated|condoned|permissible|excusable|advisable"
        "|the (?:right|way|answer|solution)|an? (?:\\w+ or )?(?:good|healthy|constructive"
        "|productive"
        "|acceptable|safe|appropriate|responsible|laughing|joking|suitable|legitimate) "
        "(?:or \\w+ )?(?:idea|way|thing|matter|solution|approach|topic|choice|reason)"
    ),
    "immoral": (
        "unethical|immoral|unacceptable|inappropriate|abhorrent|reprehensible|despicable|heinous"
        "|deplorable|(?:morally|deeply|very|completely|absolutely|always|never) wrong|never (?:ok"
        "|okay|acceptable|appropriate|justified|right|the answer|a solution|the solution)"
        "|never an? (?:\\w+ )?(?:answer|solution|option|way)"
    ),
    "bad": (
        "illegal|unlawful|against the law|unethical|immoral|harmful|dangerous|wrong|unjust"
        "|discriminatory|offensive|disrespectful|hurtful|unfair|cruel|hateful|abusive"
        "|unacceptable|inappropriate|irresponsible|unsafe|a (?:\\w+ )?(?:crime|offen[cs]e|felony"
        "|violation|form of (?:abuse|violence))|punishable"
    ),
    "people": (
        r"(?<!non-)(?:people|persons?|individuals?|humans?|human beings?|anyone|everyone|women|men"
        "|children|citizens|girls|boys|communit(?:y|ies)|minorit(?:y|ies)|immigrants?|refugees"
        "|jews|jewish|muslims?|christians?|buddhists?|hindus?|blacks?|whites?|asians?|lesbians?"
        "|gays?|lgbtq?\\+?|trans(?:gender)?|elderly|disabled|race|races|gender|genders|group"
        "|groups|holocaust|genocide)"
    ),
    "atrocity": (
        r"massacres?|attack(?:s|ed)?|shootings?|killed|murder\w*|victims?|atrocit\w+|hitler|nazis?"
        r"|regime|slavery|war|terror\w*|persecut\w+|perpetrat\w+|suffering"
    ),
    "nature": (
        "scien[a-z]+|physics|physically (?:im)?possible|biolog[a-z]+|fiction[a-z]*|supernatural"
        "|telekinesis|teleport"
        "\\w*|time ?travel|magic\\w*|inanimate|planet|fruits?|vegetables?|imaginary|mythical"
        "|laws of nature"
    ),
    "defining": (
        "in which|that involves|refers to|is defined|is the (?:\\w+ ){1,3}of|means|the term"
    ),
    "answering": (
        "^to [^.,]+, (?:you|one|first)|(?:best|easiest|easy|effective|quickest) way to [^.]* "
        "would be to|you(?: will| would| can|'d)? need(?: to)?|here (?:are|is)"
        "|follow these|you can (?:use|try|do) (?:this|the following)|steps"
    ),
    "ethics": (
        "harm|harmful|unharmful|ethic\\w*|unethical|moral\\w*|appropriate\\w*|inappropriate|respect"
        "|respectful|disrespectful|illegal|unlawful|discriminat\\w+|violence|violent|dignity"
        "|offensive|equal\\w*|privacy|responsib\\w+|hurtful|hate|hateful|stereotyp\\w+"
        "|prejudice\\w*"
        "|abuse|abusive|crimes?|criminal|legal|consent|rights|racis[mt]|sexis[mt]|unacceptable"
        "|dangerous|safety|compassion\\w*|kindness|inclusiv\\w+|wrong|bully\\w*"
    ),
    "whose": r"(?:your|his|her|their) (?:[\w-]+ ){0,2}[\w-]+'s?",
    "privacy": (
        "privacy|private|confidential\\w*|sensitive|respect\\w*|appropriate|ethical|unethical"
        "|illegal|unauthorized|permission|consent|unless (?:it|they|he|she|you)\\b[^.]* shared"
        "|secur\\w+|protect\\w*|polic(?:y|ies)|guidelines|personal (?:data|information|details)"
        "|cannot (?:provide|share)|designed to"
    ),
}
"""What stands for `<name>` in a pattern; an entry may use earlier ones."""
